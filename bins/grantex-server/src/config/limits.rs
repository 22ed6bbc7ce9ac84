//! Rate limits.

use grantex_http::RateLimits;

use super::{Env, Variable};

const ENABLED: Variable = Variable::new(
    "RATE_LIMIT_ENABLED",
    "true",
    "`false` refuses nothing; the rate-limit headers are sent all the same.",
);
const IP: Variable = Variable::new(
    "RATE_LIMIT_IP_PER_MINUTE",
    "5000",
    "All requests of an address (IPv6: of a /64).",
);
const SIGNUP: Variable = Variable::new("RATE_LIMIT_SIGNUP_PER_MINUTE", "30", "Sign-ups of an address.");
const KEY_ROTATION: Variable = Variable::new(
    "RATE_LIMIT_KEY_ROTATION_PER_MINUTE",
    "5",
    "API-key rotations of an address.",
);
const PRINCIPAL_SESSIONS: Variable = Variable::new(
    "RATE_LIMIT_PRINCIPAL_SESSIONS_PER_MINUTE",
    "10",
    "Principal sessions opened by an address.",
);
const CONSENT: Variable = Variable::new(
    "RATE_LIMIT_CONSENT_PER_MINUTE",
    "60",
    "Consent pages and decisions of an address.",
);
const CHANNEL_TESTS: Variable = Variable::new(
    "RATE_LIMIT_CHANNEL_TESTS_PER_MINUTE",
    "10",
    "Tests of anomaly channels by an address: each sends something at once.",
);
const FAILED_KEYS: Variable = Variable::new(
    "RATE_LIMIT_FAILED_KEYS_PER_MINUTE",
    "60",
    "Wrong keys presented by an address.",
);
const METRICS: Variable = Variable::new(
    "RATE_LIMIT_METRICS_PER_MINUTE",
    "10",
    "Scrapes of `/metrics` by an address.",
);
const DEVELOPER: Variable = Variable::new("RATE_LIMIT_DEVELOPER_PER_MINUTE", "3000", "Calls of a developer.");
const AUTHORIZE: Variable = Variable::new(
    "RATE_LIMIT_AUTHORIZE_PER_MINUTE",
    "600",
    "Authorization requests of a developer.",
);
const REVOCATION_STATUS: Variable = Variable::new(
    "RATE_LIMIT_REVOCATION_STATUS_PER_MINUTE",
    "60000",
    "Revocation-status questions of a developer; they do not count as calls.",
);
const REVOCATION_FEED: Variable = Variable::new(
    "RATE_LIMIT_REVOCATION_FEED_PER_MINUTE",
    "12000",
    "Questions of a developer to the revocation feed, its streams and reports; they do not count as calls.",
);
const REMEMBERED: Variable = Variable::new(
    "RATE_LIMIT_MAX_KEYS",
    "100000",
    "How many addresses and developers are remembered; the one not seen for longest is forgotten first.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[
    &ENABLED,
    &IP,
    &SIGNUP,
    &KEY_ROTATION,
    &PRINCIPAL_SESSIONS,
    &CONSENT,
    &CHANNEL_TESTS,
    &FAILED_KEYS,
    &METRICS,
    &DEVELOPER,
    &AUTHORIZE,
    &REVOCATION_STATUS,
    &REVOCATION_FEED,
    &REMEMBERED,
];

pub(super) fn read(env: &mut Env) -> RateLimits {
    let defaults = RateLimits::default();
    RateLimits {
        is_enabled: env.flag(&ENABLED, defaults.is_enabled),
        ip: env.positive(&IP, defaults.ip),
        signup: env.positive(&SIGNUP, defaults.signup),
        key_rotation: env.positive(&KEY_ROTATION, defaults.key_rotation),
        principal_sessions: env.positive(&PRINCIPAL_SESSIONS, defaults.principal_sessions),
        consent: env.positive(&CONSENT, defaults.consent),
        channel_tests: env.positive(&CHANNEL_TESTS, defaults.channel_tests),
        failed_keys: env.positive(&FAILED_KEYS, defaults.failed_keys),
        metrics: env.positive(&METRICS, defaults.metrics),
        developer: env.positive(&DEVELOPER, defaults.developer),
        authorize: env.positive(&AUTHORIZE, defaults.authorize),
        revocation_status: env.positive(&REVOCATION_STATUS, defaults.revocation_status),
        revocation_feed: env.positive(&REVOCATION_FEED, defaults.revocation_feed),
        remembered: env.positive(&REMEMBERED, defaults.remembered),
    }
}
