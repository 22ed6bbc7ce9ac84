//! The configuration: one file a section, read from an injected environment. All problems are collected and told together.

mod anomalies;
mod database;
pub mod docs;
mod env;
mod feed;
mod flows;
mod http;
mod jobs;
mod keys;
mod limits;
mod logs;
mod mail;
mod metrics;
mod policies;
mod streams;
mod traces;
mod webhooks;

pub use anomalies::Anomalies;
pub use database::{Database, DatabaseUrl};
pub use env::{Env, Problem, Variable};
pub use http::{Environment, Http};
pub use jobs::Jobs;
pub use keys::Keys;
pub use logs::{LogFormat, Logs};
pub use metrics::Metrics;
pub use traces::Traces;

use grantex_core::plan::Plan;
use grantex_core::secret::Secret;
use grantex_delivery::MailSettings;
use grantex_http::{FeedSettings, RateLimits, StreamSettings};

pub use flows::Flows;
pub use policies::Policies;
pub use webhooks::Webhooks;

/// Everything that an operator can set.
#[derive(Debug)]
pub struct Config {
    /// Where and how the server listens, and who it is to the world.
    pub http: Http,
    /// The store.
    pub database: Database,
    /// Master key and signing keys.
    pub keys: Keys,
    /// Lifetimes and bounds of flows.
    pub flows: Flows,
    /// Rate limits.
    pub limits: RateLimits,
    /// Metrics.
    pub metrics: Metrics,
    /// The log.
    pub logs: Logs,
    /// Traces.
    pub traces: Traces,
    /// Periodic jobs.
    pub jobs: Jobs,
    /// Webhooks.
    pub webhooks: Webhooks,
    /// The mail server, if there is one.
    pub mail: Option<MailSettings>,
    /// Event streams.
    pub streams: StreamSettings,
    /// The revocation feed.
    pub feed: FeedSettings,
    /// Policies.
    pub policies: Policies,
    /// Detection of anomalies.
    pub anomalies: Anomalies,
}

/// A section: its heading and its variables.
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// The variables.
    pub variables: &'static [&'static Variable],
}

/// Every section, in the order of the documentation.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "Server",
        variables: http::VARIABLES,
    },
    Section {
        title: "Database",
        variables: database::VARIABLES,
    },
    Section {
        title: "Keys",
        variables: keys::VARIABLES,
    },
    Section {
        title: "Consent, tokens, delegation",
        variables: flows::VARIABLES,
    },
    Section {
        title: "Policies",
        variables: policies::VARIABLES,
    },
    Section {
        title: "Rate limits",
        variables: limits::VARIABLES,
    },
    Section {
        title: "Metrics",
        variables: metrics::VARIABLES,
    },
    Section {
        title: "Traces",
        variables: traces::VARIABLES,
    },
    Section {
        title: "Log",
        variables: logs::VARIABLES,
    },
    Section {
        title: "Webhooks",
        variables: webhooks::VARIABLES,
    },
    Section {
        title: "Mail",
        variables: mail::VARIABLES,
    },
    Section {
        title: "Event streams",
        variables: streams::VARIABLES,
    },
    Section {
        title: "Revocation feed",
        variables: feed::VARIABLES,
    },
    Section {
        title: "Anomalies",
        variables: anomalies::VARIABLES,
    },
    Section {
        title: "Jobs",
        variables: jobs::VARIABLES,
    },
];

/// Whether this is one of our variables, or the `_FILE` form of one.
pub(crate) fn is_known(name: &str) -> bool {
    let bare = name.strip_suffix("_FILE").unwrap_or(name);
    SECTIONS
        .iter()
        .flat_map(|section| section.variables)
        .any(|variable| variable.name == name || variable.name == bare)
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Every problem there is, not only the first.
    pub fn load(mut env: Env) -> Result<Self, Vec<Problem>> {
        let config = Self::read(&mut env);
        let problems = env.into_problems();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    fn read(env: &mut Env) -> Self {
        let http = http::read(env);
        let database = database::read(env);
        let keys = keys::read(env, &database, http.environment);
        Self {
            flows: flows::read(env, http.environment),
            limits: limits::read(env),
            metrics: metrics::read(env),
            logs: logs::read(env),
            traces: traces::read(env),
            jobs: jobs::read(env),
            streams: streams::read(env),
            feed: feed::read(env),
            anomalies: anomalies::read(env),
            webhooks: webhooks::read(env, http.environment),
            mail: mail::read(env, http.environment),
            policies: policies::read(env, http.request_deadline),
            http,
            database,
            keys,
        }
    }

    /// What operators should know although it works.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.http.jwt_issuer != self.http.public_base_url {
            warnings.push(
                "JWT_ISSUER differs from PUBLIC_BASE_URL: clients that verify tokens by themselves expect them to be equal".to_owned(),
            );
        }
        if self.http.environment == Environment::Production && !self.http.public_base_url.starts_with("https://") {
            warnings.push("PUBLIC_BASE_URL is not https: links and tokens travel in the clear".to_owned());
        }
        if self.keys.algorithm == grantex_core::token::signer::Algorithm::Es256 {
            warnings
                .push("SIGNING_ALGORITHM=ES256: clients that accept RS256 only will refuse grant tokens".to_owned());
        }
        if self.webhooks.delivery.allow_private_hosts {
            warnings
                .push("WEBHOOK_ALLOW_PRIVATE_HOSTS: developers can have this server call its own network".to_owned());
        }
        warnings
    }

    /// The settings of the flows.
    pub fn core_settings(&self) -> grantex_core::Settings {
        let mut settings = grantex_core::Settings::new(&self.http.public_base_url);
        settings.issuer.clone_from(&self.http.jwt_issuer);
        self.flows.apply_to(&mut settings);
        settings.webhooks = self.webhooks.flows.clone();
        settings.policy_cache_bytes = self.policies.cache_bytes;
        settings
    }
}

/// Reads a plan.
fn plan(text: &str) -> Result<Plan, String> {
    Plan::parse(text).ok_or_else(|| "must be free, pro or enterprise".to_owned())
}

/// A key that developers or operators present must be long enough that nobody guesses it.
fn long_enough(env: &mut Env, variable: &'static Variable, secret: Option<Secret<String>>) -> Option<Secret<String>> {
    let is_short = secret
        .as_ref()
        .is_some_and(|secret| secret.expose().chars().count() < 16);
    if is_short {
        env.problem(variable.name, "must have at least 16 characters");
        return None;
    }
    secret
}

#[cfg(test)]
mod tests;
