//! Measures one operation.

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::drive::{Amount, Client, Driven, drive};
use crate::error::BenchError;
use crate::prepare::Setup;
use crate::process::{cpu_time, own_cpu_time, tree_cpu_time};
use crate::report::OperationReport;
use crate::tally::Tally;

/// A timed exchange gets this many times the codes that its warm-up would use.
const CODE_MARGIN: f64 = 1.3;
/// Codes a measurement prepares at most, over all its clients.
const MAX_CODES: u64 = 400_000;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// GET /health, the yardstick of the HTTP stack
    Health,
    /// POST /v1/token with a fresh code
    Exchange,
    /// POST /v1/token/refresh, each time with the newest token
    Refresh,
    /// POST /v1/tokens/verify of live tokens
    Verify,
    /// GET /v1/revocations/status of live tokens
    Status,
    /// POST /v1/authorize of a sandbox developer
    Authorize,
    /// POST /v1/audit/log
    Audit,
}

impl Operation {
    pub const ALL: [Self; 7] = [
        Self::Health,
        Self::Exchange,
        Self::Refresh,
        Self::Verify,
        Self::Status,
        Self::Authorize,
        Self::Audit,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Exchange => "exchange",
            Self::Refresh => "refresh",
            Self::Verify => "verify",
            Self::Status => "status",
            Self::Authorize => "authorize",
            Self::Audit => "audit",
        }
    }
}

/// How long an operation is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    Time(Duration),
    Requests(u64),
}

/// The processes whose CPU time is watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watched {
    pub server: Option<u32>,
    /// The postmaster; its backends are watched with it.
    pub postgres: Option<u32>,
}

struct CpuTimes {
    server: Option<Duration>,
    postgres: Option<Duration>,
    generator: Duration,
}

impl Watched {
    fn cpu_times(self) -> Result<CpuTimes, BenchError> {
        Ok(CpuTimes {
            server: self.server.map(cpu_time).transpose()?,
            postgres: self.postgres.map(tree_cpu_time).transpose()?,
            generator: own_cpu_time()?,
        })
    }
}

/// Prepares, warms up and measures.
pub async fn measure(
    setup: &Setup,
    operation: Operation,
    extent: Extent,
    watched: Watched,
) -> Result<OperationReport, BenchError> {
    let mut clients = setup.prepare(operation).await?;
    let mut warm_up = Tally::new();
    let amount = match extent {
        Extent::Time(length) => {
            setup
                .give_codes(operation, &mut clients, &setup.warm_up_codes())
                .await?;
            setup.connect(operation.name(), &mut clients).await?;
            let (warm, driven) = drive(clients, Amount::Timed(warm_up_length(length))).await?;
            clients = warm;
            let codes = codes_for(&driven, length, setup.clients);
            setup.give_codes(operation, &mut clients, &codes).await?;
            warm_up = driven.tally;
            Amount::Timed(length)
        }
        Extent::Requests(count) => {
            let shares = shares(count, setup.clients);
            for (client, share) in clients.iter_mut().zip(&shares) {
                client.budget = *share;
            }
            setup.give_codes(operation, &mut clients, &shares).await?;
            Amount::Counted
        }
    };
    setup.connect(operation.name(), &mut clients).await?;
    measured(operation, clients, amount, watched, &warm_up).await
}

async fn measured(
    operation: Operation,
    clients: Vec<Client>,
    amount: Amount,
    watched: Watched,
    warm_up: &Tally,
) -> Result<OperationReport, BenchError> {
    let before = watched.cpu_times()?;
    let (_, Driven { mut tally, elapsed }) = drive(clients, amount).await?;
    let after = watched.cpu_times()?;
    let requests = tally.requests();
    tally.absorb_failures("warm-up", warm_up);
    let per_request = |before: Option<Duration>, after: Option<Duration>| {
        let spent = after?.checked_sub(before?)?;
        (requests > 0).then(|| spent.as_secs_f64() * 1_000_000.0 / float(requests))
    };
    Ok(OperationReport::new(operation, &tally, elapsed)
        .with_server_cpu(per_request(before.server, after.server))
        .with_postgres_cpu(per_request(before.postgres, after.postgres))
        .with_generator_cpu(per_request(Some(before.generator), Some(after.generator))))
}

fn warm_up_length(length: Duration) -> Duration {
    (length / 4).min(Duration::from_millis(500))
}

/// How many codes each client needs to be busy for `length` at the speed of the warm-up.
fn codes_for(warm_up: &Driven, length: Duration, clients: usize) -> Vec<u64> {
    let speed = float(warm_up.tally.successes()) / warm_up.elapsed.as_secs_f64().max(0.001);
    let wanted = speed * length.as_secs_f64() * CODE_MARGIN;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and bounded just below"
    )]
    let wanted = (wanted as u64).clamp(1, MAX_CODES);
    let each = wanted / u64::try_from(clients).unwrap_or(1).max(1) + 20;
    vec![each; clients]
}

/// `count` in `clients` parts that differ by one at most.
pub fn shares(count: u64, clients: usize) -> Vec<u64> {
    let parts = u64::try_from(clients).unwrap_or(1).max(1);
    (0..parts)
        .map(|part| count / parts + u64::from(part < count % parts))
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        assert_eq!(shares(10, 4), [3, 3, 2, 2]);
        assert_eq!(shares(2, 3), [1, 1, 0]);
        assert_eq!(shares(100_001, 32).iter().sum::<u64>(), 100_001);
    }

    #[test]
    fn codes_last_longer_than_the_measurement_but_stay_bounded() {
        let mut tally = Tally::new();
        for _ in 0..1_600 {
            let answer = crate::call::Answer {
                status: 201,
                body: "".into(),
            };
            tally.answered(Duration::from_millis(10), &answer, Ok(()));
        }
        let driven = Driven {
            tally,
            elapsed: Duration::from_millis(500),
        };
        // 3,200 a second, for 5 s, with a margin, over 32 clients.
        assert_eq!(codes_for(&driven, Duration::from_secs(5), 32), vec![670; 32]);
        let total: u64 = codes_for(&driven, Duration::from_secs(100_000), 32).iter().sum();
        assert_eq!(total, MAX_CODES + 32 * 20);
    }
}
