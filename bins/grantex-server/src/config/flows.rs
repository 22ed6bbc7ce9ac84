//! Lifetimes and bounds of flows, and accounts that an operator wants from the start.

use grantex_core::Settings;
use grantex_core::clock::Lifetime;
use grantex_core::plan::Plan;
use grantex_core::secret::Secret;

use super::{Env, Environment, Variable, long_enough, plan};

const AUTH_REQUEST_TTL: Variable = Variable::new(
    "AUTH_REQUEST_TTL",
    "15m",
    "How long a person has to decide an authorization request.",
);
const AUTH_CODE_TTL: Variable = Variable::new(
    "AUTH_CODE_TTL",
    "10m",
    "How long a code works, counted from the approval.",
);
const MAX_GRANT_LIFETIME: Variable = Variable::new(
    "MAX_GRANT_LIFETIME",
    "365d",
    "The longest life of a grant; more is refused.",
);
const REFRESH_TOKEN_TTL: Variable = Variable::new("REFRESH_TOKEN_TTL", "30d", "The longest life of a refresh token.");
const REFRESH_GRACE: Variable = Variable::new(
    "REFRESH_GRACE",
    "60s",
    "A second use of a refresh token within this time, while its successor is unused, is refused but not taken for theft.",
);
const MAX_DELEGATION_DEPTH: Variable = Variable::new(
    "MAX_DELEGATION_DEPTH",
    "3",
    "How often a grant may be handed on, 1 to 10.",
);
const DEFAULT_PLAN: Variable = Variable::new(
    "DEFAULT_PLAN",
    "enterprise",
    "Plan of new accounts: `free`, `pro` or `enterprise` (unlimited). The operator changes it by `PATCH /v1/admin/developers/:id/plan`.",
);
const SEED_API_KEY: Variable = Variable::secret(
    "SEED_API_KEY",
    "Makes a live account with this key at start, if no account has it. At least 16 characters; refused in production.",
);
const SEED_SANDBOX_KEY: Variable = Variable::secret(
    "SEED_SANDBOX_KEY",
    "Makes a sandbox account with this key at start, if no account has it. At least 16 characters; refused in production.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[
    &AUTH_REQUEST_TTL,
    &AUTH_CODE_TTL,
    &MAX_GRANT_LIFETIME,
    &REFRESH_TOKEN_TTL,
    &REFRESH_GRACE,
    &MAX_DELEGATION_DEPTH,
    &DEFAULT_PLAN,
    &SEED_API_KEY,
    &SEED_SANDBOX_KEY,
];

/// The section.
#[derive(Debug)]
pub struct Flows {
    auth_request_ttl: Lifetime,
    auth_code_ttl: Lifetime,
    max_grant_lifetime: Lifetime,
    refresh_token_ttl: Lifetime,
    refresh_grace: Lifetime,
    max_delegation_depth: u32,
    default_plan: Plan,
    /// Key of a live account to make.
    pub seed_api_key: Option<Secret<String>>,
    /// Key of a sandbox account to make.
    pub seed_sandbox_key: Option<Secret<String>>,
}

impl Flows {
    pub(super) fn apply_to(&self, settings: &mut Settings) {
        settings.auth_request_ttl = self.auth_request_ttl;
        settings.auth_code_ttl = self.auth_code_ttl;
        settings.max_grant_lifetime = self.max_grant_lifetime;
        settings.refresh_token_ttl = self.refresh_token_ttl;
        settings.refresh_grace = self.refresh_grace;
        settings.max_delegation_depth = self.max_delegation_depth;
        settings.default_plan = self.default_plan;
    }
}

pub(super) fn read(env: &mut Env, environment: Environment) -> Flows {
    let defaults = Settings::new("");
    Flows {
        auth_request_ttl: env.lifetime(&AUTH_REQUEST_TTL, defaults.auth_request_ttl),
        auth_code_ttl: env.lifetime(&AUTH_CODE_TTL, defaults.auth_code_ttl),
        max_grant_lifetime: env.lifetime(&MAX_GRANT_LIFETIME, defaults.max_grant_lifetime),
        refresh_token_ttl: env.lifetime(&REFRESH_TOKEN_TTL, defaults.refresh_token_ttl),
        refresh_grace: env.lifetime(&REFRESH_GRACE, defaults.refresh_grace),
        max_delegation_depth: env.number(&MAX_DELEGATION_DEPTH, defaults.max_delegation_depth, 1..=10),
        default_plan: env.parsed(&DEFAULT_PLAN, defaults.default_plan, plan),
        seed_api_key: seed(env, &SEED_API_KEY, environment),
        seed_sandbox_key: seed(env, &SEED_SANDBOX_KEY, environment),
    }
}

fn seed(env: &mut Env, variable: &'static Variable, environment: Environment) -> Option<Secret<String>> {
    let key = env.secret(variable)?;
    if environment == Environment::Production {
        env.problem(variable.name, "must not be set in production");
        return None;
    }
    if key.expose().chars().any(char::is_whitespace) {
        env.problem(variable.name, "must not hold white space");
        return None;
    }
    long_enough(env, variable, Some(key))
}
