//! Spans on their way to a collector: a bounded queue, a task that sends batches, and nothing that a request ever waits for.

mod encode;

use std::time::Duration;

use actix_web::rt;
use grantex_core::error::chain;
use grantex_core::trace::{Span, TraceId, Tracer};
use grantex_delivery::CollectorClient;
use grantex_metrics::{Metrics, SpanFate};
use slog::{Logger, warn};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::config::Traces;
use crate::error::Failure;

/// Requests whose spans may wait.
const QUEUE: usize = 2_048;
/// Spans in one message, give or take those of one request.
const BATCH: usize = 512;
/// How long spans wait for others before they are sent.
const GATHER: Duration = Duration::from_secs(1);
/// A collector that fails is told of this often at most.
const COMPLAIN: Duration = Duration::from_secs(60);

/// Takes the spans of requests.
pub struct OtlpTracer {
    queue: mpsc::Sender<Vec<Span>>,
    metrics: Option<Metrics>,
    /// A trace is sampled when the lower half of its id is below this.
    threshold: u64,
}

impl Tracer for OtlpTracer {
    fn ended(&self, spans: Vec<Span>) {
        let count = spans.len();
        if self.queue.try_send(spans).is_err() {
            told(self.metrics.as_ref(), SpanFate::Dropped, count);
        }
    }

    fn samples(&self, trace_id: TraceId) -> bool {
        let [.., a, b, c, d, e, f, g, h] = trace_id.to_bytes();
        // All of them, also the one with the highest id.
        self.threshold == u64::MAX || u64::from_be_bytes([a, b, c, d, e, f, g, h]) < self.threshold
    }
}

fn told(metrics: Option<&Metrics>, fate: SpanFate, count: usize) {
    if let Some(metrics) = metrics {
        metrics.spans(fate, u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// Starts to send spans, if there is a collector.
///
/// # Errors
/// When requests cannot be sent at all.
pub fn start(
    settings: &Traces,
    metrics: Option<&Metrics>,
    logger: &Logger,
    stopping: &watch::Receiver<bool>,
) -> Result<Option<(OtlpTracer, JoinHandle<()>)>, Failure> {
    let Some(url) = settings.url.clone() else {
        return Ok(None);
    };
    let client = CollectorClient::new(url, &settings.headers, settings.timeout)
        .map_err(Failure::of("setting up the client for traces"))?;
    let (queue, waiting) = mpsc::channel(QUEUE);
    let exporter = Exporter {
        client,
        service_name: settings.service_name.clone(),
        metrics: metrics.cloned(),
        logger: logger.clone(),
        complained: None,
    };
    let tracer = OtlpTracer {
        queue,
        metrics: metrics.cloned(),
        threshold: threshold(settings.share),
    };
    Ok(Some((tracer, rt::spawn(exporter.run(waiting, stopping.clone())))))
}

/// The share of all numbers; 1 is all of them.
fn threshold(share: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share is from 0 to 1, and the cast of more saturates"
    )]
    let threshold = (share * u64::MAX as f64) as u64;
    threshold
}

struct Exporter {
    client: CollectorClient,
    service_name: String,
    metrics: Option<Metrics>,
    logger: Logger,
    complained: Option<Instant>,
}

impl Exporter {
    /// Sends batches until the server stops; what waits then is sent in one last attempt.
    async fn run(mut self, mut waiting: mpsc::Receiver<Vec<Span>>, mut stopping: watch::Receiver<bool>) {
        loop {
            let first = tokio::select! {
                first = waiting.recv() => first,
                _ = stopping.wait_for(|is_stopping| *is_stopping) => break,
            };
            let Some(mut spans) = first else { return };
            let deadline = Instant::now() + GATHER;
            while spans.len() < BATCH
                && let Ok(Some(more)) = timeout_at(deadline, waiting.recv()).await
            {
                spans.extend(more);
            }
            self.send(spans).await;
        }
        let mut rest = Vec::new();
        while let Ok(more) = waiting.try_recv() {
            rest.extend(more);
        }
        if !rest.is_empty() {
            self.send(rest).await;
        }
    }

    /// One attempt: spans of a collector that fails are lost, and the next ones need the room.
    async fn send(&mut self, spans: Vec<Span>) {
        let count = spans.len();
        let message = encode::message(&self.service_name, spans);
        match self.client.send(message).await {
            Ok(()) => told(self.metrics.as_ref(), SpanFate::Exported, count),
            Err(error) => {
                told(self.metrics.as_ref(), SpanFate::Failed, count);
                let now = Instant::now();
                if self.complained.is_none_or(|at| now.duration_since(at) >= COMPLAIN) {
                    self.complained = Some(now);
                    warn!(self.logger, "traces.export_failed"; "error" => chain(&error), "spans" => count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracer(share: f64) -> (OtlpTracer, mpsc::Receiver<Vec<Span>>) {
        let (queue, waiting) = mpsc::channel(1);
        let tracer = OtlpTracer {
            queue,
            metrics: Some(Metrics::new("0", &[]).unwrap()),
            threshold: threshold(share),
        };
        (tracer, waiting)
    }

    fn trace(low: u64) -> TraceId {
        let mut bytes = [1; 16];
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        TraceId::from_bytes(bytes).unwrap()
    }

    #[test]
    fn the_share_that_is_wanted_is_traced() {
        for (share, low, is_sampled) in [
            (1.0, u64::MAX, true),
            (1.0, 0, true),
            (0.0, 0, false),
            (0.5, u64::MAX / 2 - 1_000, true),
            (0.5, u64::MAX / 2 + 1_000, false),
        ] {
            assert_eq!(tracer(share).0.samples(trace(low)), is_sampled, "{share} {low}");
        }
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let (tracer, _waiting) = tracer(1.0);
        for _ in 0..3 {
            tracer.ended(Vec::new());
        }
        let span = grantex_core::trace::Recording::with_spans(
            std::sync::Arc::new(grantex_core::clock::SystemClock::new()),
            grantex_core::trace::TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
                .unwrap(),
        )
        .end("GET /".to_owned(), None, false, Vec::new());
        tracer.ended(span);
        let rendered = tracer.metrics.unwrap().render();
        assert!(
            rendered.contains(r#"grantex_trace_spans_total{status="dropped"} 1"#),
            "{rendered}"
        );
    }
}
