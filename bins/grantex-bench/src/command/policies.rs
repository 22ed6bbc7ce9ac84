//! `grantex-bench policies`: what many policies of one developer cost an authorization.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::task::{JoinSet, LocalSet};

use super::{parse_label, print, progress, save};
use crate::account::{Account, GRANT_SCOPES, open_accounts};
use crate::call::Call;
use crate::clock::now;
use crate::connection::{Connection, Target};
use crate::error::BenchError;
use crate::machine::Machine;
use crate::report::{PolicyFigures, PolicyReport, Record};

/// Connections that make policies.
const MAKING: u32 = 8;
/// The same, as a step from one policy of a connection to its next.
const STEP: usize = 8;
/// Authorizations of each developer before any is measured.
const WARMING: u32 = 50;
const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"];

#[derive(Args)]
pub struct Options {
    /// The server's base URL; its rate limits must allow what is measured
    #[arg(long)]
    url: String,
    /// Policies of the one developer
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    policies: u32,
    /// Authorizations to measure with policies, and as many without
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    operations: u32,
    /// Remember something with the result, such as store=sqlite (may be repeated)
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Write the result to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
}

/// How policies are made: a name, and the body of each. None ever decides, so that all that might are looked at.
type Arrangement = (&'static str, fn(u32, &Account) -> Value);

const ARRANGEMENTS: [Arrangement; 3] = [
    ("each names the agent and another principal", |number, account| {
        json!({
            "name": format!("Policy {number}"), "effect": effect(number), "agentId": account.agent_id,
            "principalId": format!("somebody-{number}"), "scopes": ["calendar:*"],
        })
    }),
    (
        "each lists another scope",
        |number, _| json!({"name": format!("Policy {number}"), "effect": effect(number), "scopes": [format!("tool-{number}:*")]}),
    ),
    // A window that begins when it ends is never: the costliest there is, because each has to be looked at.
    (
        "all list a scope that is asked for, at another time in 4 zones",
        |number, _| {
            let zone = ZONES.iter().cycle().nth(usize::try_from(number % 4).unwrap_or(0));
            json!({
                "name": format!("Policy {number}"), "effect": effect(number), "scopes": GRANT_SCOPES,
                "timeOfDayStart": "00:00", "timeOfDayEnd": "00:00", "timeZone": zone,
            })
        },
    ),
];

fn effect(number: u32) -> &'static str {
    if number.is_multiple_of(2) { "deny" } else { "allow" }
}

/// Returns 0: whatever is refused ends the measurement.
pub async fn policies(options: Options) -> Result<u64, BenchError> {
    LocalSet::new().run_until(measure(options)).await
}

async fn measure(options: Options) -> Result<u64, BenchError> {
    let target = Target::parse(&options.url)?;
    let mut figures = Vec::with_capacity(ARRANGEMENTS.len());
    for arrangement in ARRANGEMENTS {
        figures.push(arranged(&target, &options, arrangement).await?);
    }
    let report = PolicyReport {
        labels: options.labels.into_iter().collect(),
        machine: Machine::read(),
        policies: options.policies,
        operations: options.operations,
        figures,
    };
    print(&report.to_text())?;
    save(options.json.as_deref(), &Record::Policies(report))?;
    Ok(0)
}

async fn arranged(target: &Target, options: &Options, (name, body): Arrangement) -> Result<PolicyFigures, BenchError> {
    let accounts = open_accounts(target, 2).await?;
    let [plain, governed] = accounts.as_slice() else {
        return Err(BenchError::Usage("there are no two developers to compare".to_owned()));
    };
    progress(&format!("making {} policies: {name}", options.policies));
    make(target, governed, options.policies, body).await?;

    progress("measuring authorizations");
    let mut connection = Connection::new(target.clone());
    let first = authorize(&mut connection, target, governed, 0).await?;
    for tag in 0..WARMING {
        authorize(&mut connection, target, plain, tag).await?;
        authorize(&mut connection, target, governed, tag).await?;
    }
    // In turns, so that both meet the same disturbances.
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for tag in 0..options.operations {
        without.push(authorize(&mut connection, target, plain, tag).await?);
        with.push(authorize(&mut connection, target, governed, tag).await?);
    }
    Ok(PolicyFigures {
        arrangement: name.to_owned(),
        first_ms: first.as_secs_f64() * 1_000.0,
        without_p50_micros: percentile(&mut without, 50),
        with_p50_micros: percentile(&mut with, 50),
        without_p99_micros: percentile(&mut without, 99),
        with_p99_micros: percentile(&mut with, 99),
    })
}

async fn make(
    target: &Target,
    account: &Arc<Account>,
    count: u32,
    body: fn(u32, &Account) -> Value,
) -> Result<(), BenchError> {
    let mut tasks = JoinSet::new();
    for first in 0..MAKING {
        let (target, account) = (target.clone(), Arc::clone(account));
        tasks.spawn_local(async move {
            let mut connection = Connection::new(target.clone());
            for number in (first..count).step_by(STEP) {
                let body = body(number, &account).to_string();
                let call = Call::post("/v1/policies", Some(account.key.clone()), body);
                created(&mut connection, &target, "making a policy", call).await?;
            }
            Ok::<(), BenchError>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(BenchError::Client)??;
    }
    Ok(())
}

/// Authorizes once; returns how long it took.
async fn authorize(
    connection: &mut Connection,
    target: &Target,
    account: &Account,
    tag: u32,
) -> Result<Duration, BenchError> {
    let body = json!({"agentId": account.agent_id, "principalId": format!("policies-{tag}"), "scopes": GRANT_SCOPES});
    let call = Call::post("/v1/authorize", Some(account.key.clone()), body.to_string());
    let began = now();
    created(connection, target, "authorizing", call).await?;
    Ok(began.elapsed())
}

async fn created(
    connection: &mut Connection,
    target: &Target,
    what: &'static str,
    call: Call,
) -> Result<(), BenchError> {
    let answer = connection.send(call).await.map_err(|source| BenchError::Unreachable {
        what,
        authority: target.authority().to_owned(),
        source,
    })?;
    match answer.status {
        201 => Ok(()),
        status => Err(BenchError::Refused {
            what,
            status,
            body: answer.excerpt(),
        }),
    }
}

/// In microseconds.
fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_smallest_time_that_enough_do_not_exceed() {
        let mut times: Vec<Duration> = (1..=200).rev().map(Duration::from_micros).collect();
        assert!((percentile(&mut times, 50) - 100.0).abs() < 1e-6);
        assert!((percentile(&mut times, 99) - 198.0).abs() < 1e-6);
        assert!(percentile(&mut [], 50).abs() < 1e-6);
    }
}
