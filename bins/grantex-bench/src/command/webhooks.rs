//! `grantex-bench webhooks`: how fast a backlog of deliveries drains, and how old events are when they arrive.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hyper::Uri;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{LoadOptions, print, progress, save};
use crate::account::{Account, GRANT_SCOPES, open_accounts};
use crate::call::Call;
use crate::connection::{Connection, Target};
use crate::error::BenchError;
use crate::machine::Machine;
use crate::measure::float;
use crate::process;
use crate::receiver::Receiver;
use crate::report::{Record, WebhookReport};

/// Longer than any backlog of this size takes.
const PATIENCE: Duration = Duration::from_secs(300);
/// Events of one exchange.
const EVENTS_PER_EXCHANGE: u64 = 2;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    load: LoadOptions,
    /// Sandbox developers, each with one webhook
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    developers: u16,
    /// Deliveries that wait when the measurement of the drain begins
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=2_000_000))]
    backlog: u64,
    /// Events a second while their age is measured
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(2..=5_000))]
    rate: u64,
}

/// A developer's webhook.
struct Hook {
    account: Arc<Account>,
    id: String,
    receiver: Receiver,
}

/// Returns how many deliveries are missing.
pub async fn webhooks(options: Options) -> Result<u64, BenchError> {
    LocalSet::new().run_until(measure(options)).await
}

async fn measure(options: Options) -> Result<u64, BenchError> {
    let target = options.load.target()?;
    progress("signing developers up");
    let accounts = open_accounts(&target, usize::from(options.developers)).await?;
    let mut hooks = Vec::with_capacity(accounts.len());
    for account in accounts {
        let receiver = Receiver::start().await?;
        let id = make(&target, &account, &receiver.url).await?;
        hooks.push(Hook { account, id, receiver });
    }
    for hook in &hooks {
        act(&target, hook, "pause").await?;
    }
    progress("making a backlog");
    let exchanges = options.backlog / EVENTS_PER_EXCHANGE;
    exchange_many(&target, &hooks, usize::from(options.load.clients), exchanges).await?;
    let expected = exchanges * EVENTS_PER_EXCHANGE;

    progress("draining it");
    let cpu_before = options.load.server_pid.map(process::cpu_time).transpose()?;
    let began = Instant::now();
    for hook in &hooks {
        act(&target, hook, "resume").await?;
    }
    let (events, requests) = arrived(&hooks, expected).await;
    let took = began.elapsed();
    let cpu_after = options.load.server_pid.map(process::cpu_time).transpose()?;

    progress("measuring the age of events");
    hooks.iter().for_each(|hook| hook.receiver.measure());
    let seconds = options.load.seconds.max(1.0);
    let paced = exchange_paced(&target, &hooks, options.rate / EVENTS_PER_EXCHANGE, seconds).await?;
    let (aged, _) = arrived(&hooks, paced * EVENTS_PER_EXCHANGE).await;
    let worst = |share: f64| {
        let ages = hooks.iter().map(|hook| hook.receiver.latency(share));
        ages.max().unwrap_or_default().as_secs_f64() * 1_000.0
    };

    let missing = expected - events.min(expected) + paced * EVENTS_PER_EXCHANGE - aged.min(paced * EVENTS_PER_EXCHANGE);
    let report = WebhookReport {
        labels: options.load.labels(),
        machine: Machine::read(),
        developers: hooks.len(),
        backlog: expected,
        per_second: float(events) / took.as_secs_f64(),
        doubled: requests.saturating_sub(events),
        cpu_micros: cpu_before
            .zip(cpu_after)
            .map(|(before, after)| after.saturating_sub(before).as_secs_f64() * 1_000_000.0 / float(events.max(1))),
        events_per_second: float(paced * EVENTS_PER_EXCHANGE) / seconds,
        p50_ms: worst(0.5),
        p99_ms: worst(0.99),
        max_ms: worst(1.0),
        missing,
    };
    print(&report.to_text())?;
    save(options.load.json.as_deref(), &Record::Webhooks(report))?;
    Ok(missing)
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

async fn make(target: &Target, account: &Account, url: &str) -> Result<String, BenchError> {
    let body = json!({"url": url, "events": ["grant.created", "token.issued"]}).to_string();
    let call = Call::post("/v1/webhooks", Some(account.key.clone()), body);
    let made: Made = answered(&mut Connection::new(target.clone()), target, "making a webhook", call).await?;
    Ok(made.id)
}

async fn act(target: &Target, hook: &Hook, what: &'static str) -> Result<(), BenchError> {
    let uri: Uri = format!("/v1/webhooks/{}/{what}", hook.id)
        .parse()
        .map_err(|_| BenchError::Usage("the webhook's id is no path".to_owned()))?;
    let call = Call {
        uri,
        ..Call::post("/v1/webhooks", Some(hook.account.key.clone()), "{}")
    };
    let _: Value = answered(&mut Connection::new(target.clone()), target, what, call).await?;
    Ok(())
}

async fn answered<T: for<'de> Deserialize<'de>>(
    connection: &mut Connection,
    target: &Target,
    what: &'static str,
    call: Call,
) -> Result<T, BenchError> {
    let answer = connection.send(call).await.map_err(|source| BenchError::Unreachable {
        what,
        authority: target.authority().to_owned(),
        source,
    })?;
    let value = match answer.status {
        200..=299 => serde_json::from_slice(&answer.body).ok(),
        _ => None,
    };
    value.ok_or_else(|| BenchError::Refused {
        what,
        status: answer.status,
        body: answer.excerpt(),
    })
}

/// Authorizes and exchanges once: two events.
pub(super) async fn exchange(
    connection: &mut Connection,
    target: &Target,
    account: &Account,
    tag: u64,
) -> Result<(), BenchError> {
    let body = json!({"agentId": account.agent_id, "principalId": format!("webhooks-{tag}"), "scopes": GRANT_SCOPES});
    let call = Call::post("/v1/authorize", Some(account.key.clone()), body.to_string());
    let request: Value = answered(connection, target, "authorizing", call).await?;
    let body = json!({"code": request.get("code"), "agentId": account.agent_id}).to_string();
    let call = Call::post("/v1/token", Some(account.key.clone()), Bytes::from(body));
    let _: Value = answered(connection, target, "exchanging a code", call).await?;
    Ok(())
}

async fn exchange_many(target: &Target, hooks: &[Hook], clients: usize, count: u64) -> Result<(), BenchError> {
    let (mut tasks, clients) = (JoinSet::new(), u64::try_from(clients.max(1)).unwrap_or(1));
    for (client, hook) in (0..clients).zip(hooks.iter().cycle()) {
        let (target, account) = (target.clone(), Arc::clone(&hook.account));
        // Spread so that the shares add up to the count.
        let share = count / clients + u64::from(client < count % clients);
        tasks.spawn_local(async move {
            let mut connection = Connection::new(target.clone());
            for tag in 0..share {
                exchange(&mut connection, &target, &account, tag).await?;
            }
            Ok::<(), BenchError>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(BenchError::Client)??;
    }
    Ok(())
}

/// So many exchanges a second; returns how many there were.
async fn exchange_paced(target: &Target, hooks: &[Hook], per_second: u64, seconds: f64) -> Result<u64, BenchError> {
    const CLIENTS: u64 = 8;
    let mut tasks = JoinSet::new();
    let every = Duration::from_secs_f64(float(CLIENTS) / float(per_second.max(1)));
    for (client, hook) in (0..CLIENTS).zip(hooks.iter().cycle()) {
        let (target, account) = (target.clone(), Arc::clone(&hook.account));
        tasks.spawn_local(async move {
            // Each begins a share of the pause later than the one before.
            sleep(every * u32::try_from(client).unwrap_or(0) / 8).await;
            let (mut connection, mut beats, mut done) = (Connection::new(target.clone()), interval(every), 0);
            beats.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let end = Instant::now() + Duration::from_secs_f64(seconds);
            while Instant::now() < end {
                beats.tick().await;
                exchange(&mut connection, &target, &account, client << 32 | done).await?;
                done += 1;
            }
            Ok::<u64, BenchError>(done)
        });
    }
    let mut count = 0;
    while let Some(ended) = tasks.join_next().await {
        count += ended.map_err(BenchError::Client)??;
    }
    Ok(count)
}

/// Waits until so many distinct events have arrived, or patience ends; tells events and requests.
async fn arrived(hooks: &[Hook], expected: u64) -> (u64, u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (mut events, mut requests) = (0, 0);
        for hook in hooks {
            let (own, all) = hook.receiver.counts();
            events += own;
            requests += all;
        }
        if events >= expected || Instant::now() > deadline {
            return (events, requests);
        }
        sleep(Duration::from_millis(2)).await;
    }
}
