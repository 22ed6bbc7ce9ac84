//! Periodic jobs: each has its own rhythm, never overlaps itself, and ends when the server stops.

mod anomalies;
mod gauges;
mod jobs;
mod streams;
mod ticker;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use actix_web::rt;
use actix_web::web::Data;
use grantex_http::App;
use grantex_metrics::{Job, Metrics};
use grantex_store::AnyStore;
use slog::{Logger, o};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::Assembly;
use crate::config::Config;
use crate::error::Failure;
use jobs::Jobs;
use ticker::Ticker;

/// How often keys are read again; a revoked or new key is known everywhere within this time.
const KEYS: Duration = Duration::from_secs(5);
/// How often expired grants are taken out of the active counts, and the gauge is set.
const EXPIRED: Duration = Duration::from_secs(5);
/// How often the grants of deleted agents are looked for.
const DELETED_AGENTS: Duration = Duration::from_secs(5);
/// How often what waits to be delivered is counted.
const BACKLOG: Duration = Duration::from_secs(5);
/// How often the grants of the busiest agents are counted.
const AGENT_GRANTS: Duration = Duration::from_secs(15);
/// How often developers whom nobody was called for are looked for, and open anomalies are counted.
const ANOMALIES: Duration = Duration::from_secs(10);
/// How often gauges are set and histograms are folded.
const GAUGES: Duration = Duration::from_secs(5);

/// The running jobs.
pub struct Running(Vec<JoinHandle<()>>);

impl Running {
    /// Looks after the event streams of `app` as well.
    pub fn tend_streams(&mut self, app: Data<App<AnyStore>>, stopping: &watch::Receiver<bool>) {
        self.0.push(streams::start(app, stopping));
    }

    /// Waits for another task as well.
    pub fn await_also(&mut self, task: Option<JoinHandle<()>>) {
        self.0.extend(task);
    }

    /// Waits until all have ended.
    pub async fn join(self) {
        for job in self.0 {
            // A job that panicked has ended as well.
            let _ = job.await;
        }
    }
}

/// Starts every job, after a first look at what the gauges show.
pub async fn start(
    config: &Config,
    assembly: Assembly,
    metrics: Option<Metrics>,
    logger: &Logger,
    stopping: &watch::Receiver<bool>,
) -> Result<Running, Failure> {
    let dispatcher = assembly
        .outbox
        .as_ref()
        .map(|outbox| webhooks::start(&config.webhooks, &assembly, outbox, logger, stopping));
    let detection = match config.anomalies.is_enabled {
        true => Some(anomalies::start(&assembly, metrics.clone(), logger, stopping)),
        false => None,
    };
    let logger = logger.new(o!("requestId" => "job"));
    let retention = config.jobs.retention;
    let jobs = Arc::new(Jobs::new(assembly, metrics, logger, retention, detection.is_some()));
    jobs.run(Job::Keys).await;
    jobs.run(Job::ExpiredGrants).await;
    jobs.run(Job::WebhookBacklog).await;
    jobs.set_gauges();

    let mut running = vec![
        spawn(KEYS, stopping, &jobs, Job::Keys),
        spawn(EXPIRED, stopping, &jobs, Job::ExpiredGrants),
        spawn(DELETED_AGENTS, stopping, &jobs, Job::DeletedAgents),
        spawn(ANOMALIES, stopping, &jobs, Job::Anomalies),
    ];
    running.extend(dispatcher);
    running.extend(detection);
    if config.jobs.janitor_is_enabled {
        running.push(spawn(config.jobs.janitor_interval, stopping, &jobs, Job::Janitor));
    }
    if jobs.has_metrics() {
        running.push(spawn(BACKLOG, stopping, &jobs, Job::WebhookBacklog));
        if config.metrics.agent_series > 0 {
            running.push(spawn(AGENT_GRANTS, stopping, &jobs, Job::AgentGrants));
        }
        let ticker = Ticker::new(GAUGES, stopping.clone());
        running.push(rt::spawn(ticker.run(async move || jobs.set_gauges())));
    }
    Ok(Running(running))
}

fn spawn(every: Duration, stopping: &watch::Receiver<bool>, jobs: &Arc<Jobs>, job: Job) -> JoinHandle<()> {
    let (ticker, jobs) = (Ticker::new(every, stopping.clone()), Arc::clone(jobs));
    rt::spawn(ticker.run(async move || jobs.run(job).await))
}
