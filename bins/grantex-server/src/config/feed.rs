//! The revocation feed.

use std::time::Duration;

use grantex_core::clock::Lifetime;
use grantex_http::FeedSettings;

use super::{Env, Variable};

const ENABLED: Variable = Variable::new(
    "REVOCATION_FEED_ENABLED",
    "true",
    "`false` answers 404 on the feed's routes, so that clients in feed mode refuse everything. The feed is written all the same, and \
     `/v1/revocations/status` answers.",
);
const HEARTBEAT_MS: Variable = Variable::new(
    "REVOCATION_FEED_HEARTBEAT_MS",
    "1000",
    "How often the feed is looked at and its streams are told that they are up to date, in milliseconds, 100 to 2000. Clients refuse \
     everything after 5 seconds without.",
);
const STREAMS: Variable = Variable::new(
    "REVOCATION_FEED_STREAMS_PER_DEVELOPER",
    "200",
    "Streams of the feed that a developer may have open at a time at this server; as many questions may wait for news besides.",
);
const RETENTION_HOURS: Variable = Variable::new(
    "REVOCATION_FEED_RETENTION_HOURS",
    "48",
    "How long entries of the feed are kept, in hours, 1 to 8760: the latest of a grant or token from its end on, earlier ones from when \
     they happened.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[&ENABLED, &HEARTBEAT_MS, &STREAMS, &RETENTION_HOURS];

pub(super) fn read(env: &mut Env) -> FeedSettings {
    let defaults = FeedSettings::default();
    FeedSettings {
        is_enabled: env.flag(&ENABLED, defaults.is_enabled),
        heartbeat: Duration::from_millis(env.number(&HEARTBEAT_MS, 1_000, 100..=2_000).into()),
        per_developer: env.positive(&STREAMS, defaults.per_developer),
    }
}

pub(super) fn retention(env: &mut Env) -> Lifetime {
    Lifetime::hours(env.number(&RETENTION_HOURS, 48, 1..=8_760).into())
}
