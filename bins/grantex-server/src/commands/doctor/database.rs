//! The database: schema, answer times, clock, and what waits in it.

use std::sync::Arc;
use std::time::Duration;

use grantex_core::clock::{Clock, Lifetime, Timestamp};
use grantex_core::error::chain;
use grantex_core::store::Store as _;
use grantex_store::{AnyStore, migrate};

use super::super::silent;
use super::findings::Findings;
use super::{DATABASE_DEADLINE, within};
use crate::app::open_store;
use crate::config::{Config, DatabaseUrl};
use crate::error::Failure;

const UNREACHABLE: &str =
    "start it, check DATABASE_URL, the network and the password (docs/runbooks/GrantexDatabaseUnavailable.md)";

/// How many reads are timed.
const READS: usize = 21;
/// A request makes several round trips, and authorization should take less than half a second.
const SLOW: Duration = Duration::from_millis(50);
const TOO_SLOW: Duration = Duration::from_millis(500);

/// Looks at the database; gives it when it can be used.
pub async fn look(
    config: &Config,
    clock: &Arc<dyn Clock>,
    findings: &mut Findings,
) -> Result<Option<AnyStore>, Failure> {
    if let DatabaseUrl::Sqlite(path) = &config.database.url
        && !path.exists()
    {
        let what = format!("{} does not exist yet; the first start makes it", path.display());
        findings.ok("database", what)?;
        return Ok(None);
    }
    if !schema(config, findings).await? {
        return Ok(None);
    }
    let logger = silent();
    let store = match within(DATABASE_DEADLINE, open_store(&config.database, &logger, None)).await {
        Some(Ok(store)) => store,
        Some(Err(failure)) => {
            findings.failed("database", failure.to_string(), UNREACHABLE)?;
            return Ok(None);
        }
        None => {
            findings.failed("database", "cannot be opened in time", UNREACHABLE)?;
            return Ok(None);
        }
    };
    if !latency(config, &store, &**clock, findings).await? {
        return Ok(None);
    }
    compare_clocks(&store, &**clock, findings).await?;
    Ok(Some(store))
}

/// Whether the schema is up to date.
async fn schema(config: &Config, findings: &mut Findings) -> Result<bool, Failure> {
    let url = config.database.url();
    let pending = tokio::task::spawn_blocking(move || migrate::pending(url.expose()));
    let pending = match within(DATABASE_DEADLINE, pending).await {
        Some(Ok(Ok(pending))) => pending,
        Some(Ok(Err(error))) => {
            findings.failed("database", chain(&error), UNREACHABLE)?;
            return Ok(false);
        }
        Some(Err(_)) | None => {
            findings.failed("database", "does not answer in time", UNREACHABLE)?;
            return Ok(false);
        }
    };
    if pending.is_empty() {
        findings.ok("schema", "up to date")?;
        return Ok(true);
    }
    let what = format!("migrations are pending: {}", pending.join(" "));
    match config.database.migrate_on_start {
        true => findings.warning(
            "schema",
            what,
            "start the server, which applies them, or run: grantex-server migrate",
        )?,
        false => findings.failed("schema", what, "run: grantex-server migrate")?,
    }
    Ok(false)
}

async fn latency(
    config: &Config,
    store: &AnyStore,
    clock: &dyn Clock,
    findings: &mut Findings,
) -> Result<bool, Failure> {
    let mut times = Vec::with_capacity(READS);
    for _ in 0..READS {
        let began = clock.monotonic();
        match within(DATABASE_DEADLINE, store.ping()).await {
            Some(Ok(())) => times.push(clock.monotonic().saturating_sub(began)),
            Some(Err(error)) => {
                findings.failed("database", chain(&error), UNREACHABLE)?;
                return Ok(false);
            }
            None => {
                findings.failed("database", "does not answer a read in time", UNREACHABLE)?;
                return Ok(false);
            }
        }
    }
    times.sort_unstable();
    let median = times.get(READS / 2).copied().unwrap_or_default();
    let slowest = times.last().copied().unwrap_or_default();
    let what = format!(
        "{}: of {READS} reads the median took {}, the slowest {}",
        config.database.kind(),
        millis(median),
        millis(slowest)
    );
    let advice =
        "look at the database's load and disk, and put the server near to it (docs/runbooks/GrantexAuthLatency.md)";
    if median >= TOO_SLOW {
        findings.failed("database", what, advice)?;
    } else if median >= SLOW {
        findings.warning("database", what, advice)?;
    } else {
        findings.ok("database", what)?;
    }
    Ok(true)
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

async fn compare_clocks(store: &AnyStore, clock: &dyn Clock, findings: &mut Findings) -> Result<(), Failure> {
    let before = clock.now();
    match within(DATABASE_DEADLINE, store.clock()).await {
        Some(Ok(Some(theirs))) => compare(
            before,
            clock.now(),
            theirs,
            Lifetime::millis(1),
            "the database",
            findings,
        ),
        Some(Ok(None)) => Ok(()),
        Some(Err(error)) => findings.failed("database", chain(&error), UNREACHABLE),
        None => findings.failed("database", "does not tell the time in time", UNREACHABLE),
    }
}

/// Compares this machine's clock with another, which was read between `before` and `after` and is exact to `grain`.
pub fn compare(
    before: Timestamp,
    after: Timestamp,
    theirs: Timestamp,
    grain: Lifetime,
    whose: &str,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let behind = theirs.since(after);
    let ahead = before.since(theirs.plus(grain));
    let (apart, which) = if ahead > behind {
        (ahead, "ahead of")
    } else {
        (behind, "behind")
    };
    let advice = "let NTP set both clocks: lifetimes of tokens and codes are counted by them";
    let seconds = apart.as_millis() / 1000;
    match seconds {
        60.. => findings.failed("clock", format!("{seconds} s {which} that of {whose}"), advice),
        2.. => findings.warning("clock", format!("{seconds} s {which} that of {whose}"), advice),
        _ => findings.ok("clock", format!("agrees with that of {whose}")),
    }
}

/// Webhook deliveries that should have been sent by now.
pub async fn backlog(store: &AnyStore, clock: &dyn Clock, findings: &mut Findings) -> Result<(), Failure> {
    let now = clock.now();
    let asked = store.read(move |tx| Box::pin(async move { tx.backlog(now).await }));
    let backlog = match within(DATABASE_DEADLINE, asked).await {
        Some(Ok(backlog)) => backlog,
        Some(Err(error)) => return findings.failed("backlog", chain(&error), UNREACHABLE),
        None => return findings.failed("backlog", "cannot be counted in time", UNREACHABLE),
    };
    let age = backlog.oldest.map_or(Lifetime::millis(0), |oldest| now.since(oldest));
    let what = format!(
        "{} webhook deliveries are due, {} wait for their next attempt, {} are held; the oldest event waits for {} s",
        backlog.due,
        backlog.scheduled,
        backlog.held,
        age.as_seconds()
    );
    let advice = "see whether servers run and receivers answer (docs/runbooks/GrantexWebhookBacklog.md)";
    // As the alert GrantexWebhookBacklog: what one receiver refuses again and again is no backlog.
    let is_piled_up = backlog.due > 100;
    if is_piled_up && age > Lifetime::hours(1) {
        findings.failed("backlog", what, advice)
    } else if is_piled_up && age > Lifetime::minutes(5) {
        findings.warning("backlog", what, advice)
    } else {
        findings.ok("backlog", what)
    }
}
