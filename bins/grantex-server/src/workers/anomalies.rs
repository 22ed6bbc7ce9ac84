//! Looking for anomalies.

use std::sync::Arc;
use std::time::Duration;

use actix_web::rt;
use grantex_core::Grantex;
use grantex_core::anomaly::detector::Detector;
use grantex_core::clock::Lifetime;
use grantex_core::error::chain;
use grantex_core::id::DeveloperId;
use grantex_metrics::Metrics;
use grantex_store::AnyStore;
use slog::{Logger, o, warn};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ticker::Ticker;
use crate::app::Assembly;

/// How often developers are looked at who were called for. Signals that come in between are folded together, which is what keeps
/// detection cheap.
const PASSES: Duration = Duration::from_secs(1);
/// Passes for one developer in a row while it is behind; then others have their turn.
const IN_A_ROW: u32 = 5;

struct Worker {
    grantex: Grantex<AnyStore>,
    detector: Arc<Detector>,
    metrics: Option<Metrics>,
    logger: Logger,
}

/// Starts to look. A stop waits for a last look at what is waiting.
pub fn start(
    assembly: &Assembly,
    metrics: Option<Metrics>,
    logger: &Logger,
    stopping: &watch::Receiver<bool>,
) -> JoinHandle<()> {
    let worker = Worker {
        grantex: assembly.grantex.clone(),
        detector: Arc::clone(&assembly.detector),
        metrics,
        logger: logger.new(o!("requestId" => "anomalies")),
    };
    let ticker = Ticker::new(PASSES, stopping.clone());
    rt::spawn(async move {
        ticker.run(async || worker.look().await).await;
        worker.look().await;
    })
}

impl Worker {
    async fn look(&self) {
        for developer in self.detector.called() {
            let mut is_behind = true;
            for _ in 0..IN_A_ROW {
                is_behind = self.pass(&developer).await;
                if !is_behind {
                    break;
                }
            }
            if is_behind {
                self.detector.call(&developer);
            }
        }
    }

    /// Looks at a developer once; `true` when there is more to look at. A failure is logged; the signals wait for the next time.
    async fn pass(&self, developer: &DeveloperId) -> bool {
        let ctx = self.grantex.context(self.logger.clone(), "anomalies".to_owned());
        let detected = match self.grantex.detect_anomalies(&ctx, developer).await {
            Ok(detected) => detected,
            Err(error) => {
                warn!(self.logger, "anomalies.not_looked_for"; "error" => chain(&error));
                return false;
            }
        };
        if detected.responses > 0
            && let Err(error) = self.grantex.respond_to_anomalies(&ctx, Some(developer)).await
        {
            // They are stored: the job does what is left.
            warn!(self.logger, "anomalies.not_responded_to"; "error" => chain(&error));
        }
        if let (Some(metrics), Some(oldest)) = (&self.metrics, detected.oldest) {
            let lag = duration(self.grantex.now().since(oldest));
            metrics.anomalies_looked_for(lag);
        }
        detected.is_behind
    }
}

fn duration(lifetime: Lifetime) -> Duration {
    Duration::from_millis(u64::try_from(lifetime.as_millis()).unwrap_or(0))
}
