//! `grantex-bench start`.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Args;
use hyper::Uri;

use super::{parse_label, print, save};
use crate::call::Call;
use crate::clock;
use crate::connection::{Connection, Target};
use crate::error::BenchError;
use crate::machine::Machine;
use crate::process::memory;
use crate::report::{Record, StartReport};

/// A server that is not ready by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two questions for readiness, and so the resolution of the result.
const PAUSE: Duration = Duration::from_millis(1);
/// What an idle server is given to settle before its memory is read.
const SETTLING: Duration = Duration::from_secs(2);
/// How long a server may take to end after SIGTERM.
const ENDING: Duration = Duration::from_secs(15);

#[derive(Args)]
pub struct Options {
    /// The base URL the server will listen on
    #[arg(long)]
    url: String,
    /// How often to start it
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: u8,
    /// Remember something with the result, such as store=sqlite (may be repeated)
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Write the result to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The server and its arguments, after `--`; the environment is passed on
    #[arg(required = true, last = true)]
    server: Vec<String>,
}

/// Returns 0: a server that does not start is an error, not a failed request.
pub async fn start(options: Options) -> Result<u64, BenchError> {
    let target = Target::parse(&options.url)?;
    let mut report = StartReport {
        labels: options.labels.iter().cloned().collect(),
        machine: Machine::read(),
        ready_ms: Vec::new(),
        idle_kib: Vec::new(),
    };
    for _ in 0..options.rounds {
        let (ready, idle_kib) = one_round(&target, &options).await?;
        report.ready_ms.push(ready.as_secs_f64() * 1_000.0);
        report.idle_kib.push(idle_kib);
    }
    print(&report.to_text())?;
    save(options.json.as_deref(), &Record::Start(report))?;
    Ok(0)
}

async fn one_round(target: &Target, options: &Options) -> Result<(Duration, u64), BenchError> {
    if Connection::new(target.clone()).reopen().await.is_ok() {
        return Err(BenchError::Usage(format!(
            "something already listens on {}",
            options.url
        )));
    }
    let (program, arguments) = options
        .server
        .split_first()
        .ok_or_else(|| BenchError::Usage("the server to start is missing".to_owned()))?;
    let started = clock::now();
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let mut server = Server(child.map_err(|source| BenchError::Spawn {
        program: program.clone(),
        source,
    })?);
    while !is_ready(target).await {
        if let Ok(Some(status)) = server.0.try_wait() {
            return Err(BenchError::Ended {
                program: program.clone(),
                status: status.to_string(),
            });
        }
        if clock::now() - started > PATIENCE {
            return Err(BenchError::NotReady {
                url: options.url.clone(),
                seconds: PATIENCE.as_secs(),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
    let ready = clock::now() - started;
    tokio::time::sleep(SETTLING).await;
    let idle = memory(server.0.id())?.resident_kib;
    server.end(program).await?;
    Ok((ready, idle))
}

async fn is_ready(target: &Target) -> bool {
    let call = Call::get(Uri::from_static("/ready"), None);
    Connection::new(target.clone())
        .send(call)
        .await
        .is_ok_and(|answer| answer.status == 200)
}

/// A child that never outlives the round.
struct Server(Child);

impl Server {
    /// Ends it in order, so that the next start finds a closed database.
    async fn end(&mut self, program: &str) -> Result<(), BenchError> {
        let asked = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status();
        asked.map_err(|source| BenchError::Spawn {
            program: "kill".to_owned(),
            source,
        })?;
        let asked_at = clock::now();
        while clock::now() - asked_at < ENDING {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(BenchError::Lingers {
            program: program.to_owned(),
            seconds: ENDING.as_secs(),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, mostly; then both do nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
