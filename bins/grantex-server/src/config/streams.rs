//! Event streams.

use std::time::Duration;

use grantex_core::clock::Lifetime;
use grantex_http::StreamSettings;

use super::{Env, Variable};

const PER_DEVELOPER: Variable = Variable::new(
    "EVENT_STREAMS_PER_DEVELOPER",
    "5",
    "Event streams of one kind (SSE, WebSocket) that a developer may have open at a time at this server.",
);
const KEEPALIVE: Variable = Variable::new(
    "EVENT_STREAM_KEEPALIVE",
    "30s",
    "How long an event stream may be silent before it says that it is still there, 1s to 10m. Less than what proxies in front allow.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[&PER_DEVELOPER, &KEEPALIVE];

pub(super) fn read(env: &mut Env) -> StreamSettings {
    let defaults = StreamSettings::default();
    StreamSettings {
        per_developer: env.positive(&PER_DEVELOPER, defaults.per_developer),
        keepalive: env.parsed(&KEEPALIVE, defaults.keepalive, keepalive),
    }
}

/// A client that is gone is noticed by this, and a proxy is kept from giving up by it.
fn keepalive(text: &str) -> Result<Duration, String> {
    Lifetime::parse(text)
        .and_then(|lifetime| u64::try_from(lifetime.as_millis()).ok())
        .map(Duration::from_millis)
        .filter(|keepalive| (Duration::from_secs(1)..=Duration::from_secs(600)).contains(keepalive))
        .ok_or_else(|| "must be a span from 1s to 10m".to_owned())
}
