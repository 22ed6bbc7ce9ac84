//! Periodic jobs and how long things are kept.

use std::time::Duration;

use grantex_core::sweep::Retention;

use super::{Env, Variable};

const ENABLED: Variable = Variable::new("JANITOR_ENABLED", "true", "`false` keeps everything for ever.");
const INTERVAL: Variable = Variable::new(
    "JANITOR_INTERVAL",
    "10m",
    "How often the janitor looks for what is over.",
);
const KEEP_AUTH_REQUESTS: Variable = Variable::new(
    "JANITOR_KEEP_AUTH_REQUESTS",
    "1d",
    "How long authorization requests are kept after they and their code expired.",
);
const KEEP_TOKENS: Variable = Variable::new(
    "JANITOR_KEEP_TOKENS",
    "7d",
    "How long token and refresh-token rows are kept after both ended. Until then a second use of a refresh token is recognised.",
);
const KEEP_EVENTS: Variable = Variable::new("JANITOR_KEEP_EVENTS", "7d", "How long event rows are kept.");

const KEEP_DELIVERED: Variable = Variable::new(
    "JANITOR_KEEP_DELIVERED",
    "7d",
    "How long webhook deliveries are kept after the receiver took them.",
);
const KEEP_FAILED: Variable = Variable::new(
    "JANITOR_KEEP_FAILED",
    "30d",
    "How long webhook deliveries are kept, and can be sent again, after they were given up.",
);

const KEEP_RESOLVED_ANOMALIES: Variable = Variable::new(
    "JANITOR_KEEP_RESOLVED_ANOMALIES",
    "90d",
    "How long anomalies are kept after they were resolved.",
);
const KEEP_ANOMALIES: Variable = Variable::new(
    "JANITOR_KEEP_ANOMALIES",
    "365d",
    "How long anomalies that nobody resolved are kept after they were detected.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[
    &ENABLED,
    &INTERVAL,
    &KEEP_AUTH_REQUESTS,
    &KEEP_TOKENS,
    &KEEP_EVENTS,
    &KEEP_DELIVERED,
    &KEEP_FAILED,
    &KEEP_RESOLVED_ANOMALIES,
    &KEEP_ANOMALIES,
];

/// The section.
#[derive(Debug)]
pub struct Jobs {
    /// Whether the janitor runs.
    pub janitor_is_enabled: bool,
    /// How often it runs.
    pub janitor_interval: Duration,
    /// How long things are kept.
    pub retention: Retention,
}

pub(super) fn read(env: &mut Env) -> Jobs {
    let defaults = Retention::default();
    Jobs {
        janitor_is_enabled: env.flag(&ENABLED, true),
        janitor_interval: env.duration(&INTERVAL, Duration::from_secs(600)),
        retention: Retention {
            auth_requests: env.lifetime(&KEEP_AUTH_REQUESTS, defaults.auth_requests),
            tokens: env.lifetime(&KEEP_TOKENS, defaults.tokens),
            events: env.lifetime(&KEEP_EVENTS, defaults.events),
            revocations: super::feed::retention(env),
            delivered: env.lifetime(&KEEP_DELIVERED, defaults.delivered),
            failed: env.lifetime(&KEEP_FAILED, defaults.failed),
            resolved_anomalies: env.lifetime(&KEEP_RESOLVED_ANOMALIES, defaults.resolved_anomalies),
            unresolved_anomalies: env.lifetime(&KEEP_ANOMALIES, defaults.unresolved_anomalies),
        },
    }
}
