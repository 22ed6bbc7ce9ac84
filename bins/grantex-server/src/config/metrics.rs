//! Metrics.

use grantex_core::secret::Secret;

use super::{Env, Variable, long_enough};

const ENABLED: Variable = Variable::new(
    "METRICS_ENABLED",
    "true",
    "`false` removes `/metrics` and the cost of counting.",
);
const API_KEY: Variable = Variable::secret(
    "METRICS_API_KEY",
    "When set, `/metrics` asks for it as a bearer token; at least 16 characters.",
);
const REQUIRE_AUTH: Variable = Variable::new(
    "METRICS_REQUIRE_AUTH",
    "false",
    "`true` closes `/metrics` as long as no METRICS_API_KEY is set.",
);

const AGENT_SERIES: Variable = Variable::new(
    "METRICS_AGENT_SERIES",
    "100",
    "How many agents have metrics of their own, from 0 (none) to 1000: the busiest. Each has 35 series on each server.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[&ENABLED, &API_KEY, &REQUIRE_AUTH, &AGENT_SERIES];

/// The section.
#[derive(Debug)]
pub struct Metrics {
    /// Whether anything is counted.
    pub is_enabled: bool,
    /// The key of `/metrics`.
    pub api_key: Option<Secret<String>>,
    /// Whether `/metrics` is closed without a key.
    pub require_auth: bool,
    /// How many agents have series of their own.
    pub agent_series: u32,
}

pub(super) fn read(env: &mut Env) -> Metrics {
    let api_key = env.secret(&API_KEY);
    Metrics {
        is_enabled: env.flag(&ENABLED, true),
        api_key: long_enough(env, &API_KEY, api_key),
        require_auth: env.flag(&REQUIRE_AUTH, false),
        agent_series: env.number(
            &AGENT_SERIES,
            grantex_metrics::AGENT_SERIES,
            0..=grantex_metrics::MOST_AGENTS,
        ),
    }
}
