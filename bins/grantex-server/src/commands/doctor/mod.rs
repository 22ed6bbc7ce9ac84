//! `doctor`: looks at everything the server depends on, and says what to do about what is wrong.
//!
//! Changes no data, schema or key; an Alertmanager that is named is sent a test alert. Every call has a deadline. Secrets are used and
//! never told.

mod alertmanager;
mod database;
mod findings;
mod keys;
mod machine;
mod prometheus;
mod services;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use grantex_core::clock::{Clock, SystemClock};

use super::healthcheck;
use crate::cli::DoctorOptions;
use crate::config::{Config, Problem};
use crate::error::Failure;
use findings::Findings;
use services::Services;

/// How long a question to the database may take.
const DATABASE_DEADLINE: Duration = Duration::from_secs(10);

/// Looks, tells, and fails when something is wrong.
pub async fn doctor(config: Result<Config, Vec<Problem>>, options: DoctorOptions) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut findings = Findings::new(options.json);
    let problems = match &config {
        Ok(config) => {
            look_at_the_server(config, &options, &clock, &mut findings).await?;
            Vec::new()
        }
        Err(problems) => {
            for problem in problems {
                let advice = "correct it; docs/configuration.md says what each variable means";
                findings.failed("configuration", problem.to_string(), advice)?;
            }
            problems.clone()
        }
    };
    if let Some(services) = Services::of(&options, &mut findings)? {
        prometheus::look(&services, &options, &*clock, &mut findings).await?;
        alertmanager::look(&services, &options, &*clock, &mut findings).await?;
    }
    let has_failed = findings.has_failed();
    findings.finish()?;
    if !problems.is_empty() {
        return Err(Failure::Configuration(problems));
    }
    match has_failed {
        true => Err(Failure::Found("something is wrong")),
        false => Ok(()),
    }
}

async fn look_at_the_server(
    config: &Config,
    options: &DoctorOptions,
    clock: &Arc<dyn Clock>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    findings.ok("configuration", "no problem")?;
    for warning in config.warnings() {
        findings.warning(
            "configuration",
            warning,
            "see docs/configuration.md, and change it if it is not meant",
        )?;
    }
    machine::look(config, findings)?;
    if let Some(store) = database::look(config, clock, findings).await? {
        keys::look(config, &store, options.max_key_age, clock, findings).await?;
        database::backlog(&store, &**clock, findings).await?;
    }
    server(config, findings)
}

/// Whether a server answers on this machine.
fn server(config: &Config, findings: &mut Findings) -> Result<(), Failure> {
    let port = config.http.port;
    match healthcheck::status(config, "/ready") {
        Ok(status) if healthcheck::is_good(&status) => findings.ok("server", "is ready"),
        Ok(status) => findings.failed(
            "server",
            format!("is not ready: {status}"),
            "what else is wrong here is the likely reason; its log has the rest (docs/runbooks/GrantexNotReady.md)",
        ),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            findings.ok("server", format!("does not run here: nothing listens on port {port}"))
        }
        Err(error) => findings.failed(
            "server",
            format!("does not answer on port {port}: {error}"),
            "look at its log; restart it if it stays so (docs/runbooks/GrantexHealthCheckFailing.md)",
        ),
    }
}

/// What a future gives within a time; `None` afterwards.
async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(time, future).await.ok()
}
