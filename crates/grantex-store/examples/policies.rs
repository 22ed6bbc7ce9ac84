//! Prints what 10,000 policies of one developer cost an authorization, in several arrangements of policies.
//!
//! ```text
//! cargo run --release -p grantex-store --example policies -- [url] [policies] [rounds]
//! ```
//!
//! The database must be empty; with `sqlite`, the default, it is a temporary file. A round asks once for a developer without
//! policies and once for one with, key look-up included, so that both meet the same disturbances; what is printed is the
//! difference of their medians, and of the decision alone its mean and its slowest of many.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a measuring tool: it prints, times, and stops at the first surprise"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use grantex_core::agent::{Agent, AgentStatus, RegisterAgent};
use grantex_core::authorize::Authorize;
use grantex_core::clock::{Clock, Lifetime, SystemClock};
use grantex_core::context::{Admission, Context};
use grantex_core::developer::{Developer, Mode, Signup};
use grantex_core::error::StoreError;
use grantex_core::id::{AgentId, new_id};
use grantex_core::policy::set::PolicySet;
use grantex_core::policy::{Effect, Policy, PolicyAction, PolicyQuestion, RuleDraft};
use grantex_core::scope::Scopes;
use grantex_core::secret::Secret;
use grantex_core::store::{Store as _, UnitOptions};
use grantex_core::testing::SeededRandom;
use grantex_core::token::crypto::{KeyPair, MasterKey, SystemEntropy};
use grantex_core::token::signer::{Algorithm, KeyRing};
use grantex_core::{Grantex, Settings};
use grantex_store::{AnyStore, Options, migrate};

const SCOPES: [&str; 3] = ["calendar:read", "calendar:write", "mail:send"];
const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Australia/Sydney",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Pacific/Auckland",
];

/// An arrangement: its name, and the policy at each position. None of them decides, so that all that may match are looked at.
type Arrangement = (&'static str, fn(usize, &AgentId) -> RuleDraft);

const ARRANGEMENTS: [Arrangement; 6] = [
    ("each names one of 1,000 agents and a principal", |n, _| RuleDraft {
        agent_id: Some(agent_number(n % 1_000).to_string()),
        principal_id: Some(format!("user-{n}")),
        scopes: Some(vec!["calendar:*".into()]),
        ..draft(n)
    }),
    ("all name the agent that asks, each another scope", |n, agent| {
        RuleDraft {
            agent_id: Some(agent.to_string()),
            scopes: Some(vec![format!("tool-{n}:*"), format!("tool-{n}")]),
            ..draft(n)
        }
    }),
    ("none names anybody, each another scope", |n, _| RuleDraft {
        scopes: Some(vec![format!("tool-{n}:*"), format!("tool-{n}")]),
        ..draft(n)
    }),
    ("none names anybody, all another audience", |n, _| RuleDraft {
        audience: Some("https://elsewhere.example".into()),
        effect: Effect::Allow,
        ..draft(n)
    }),
    (
        "all list the scope that is asked for, at another hour in UTC",
        |n, _| RuleDraft {
            scopes: Some(vec![SCOPES[n % 3].into()]),
            time_of_day_start: Some("00:00".into()),
            time_of_day_end: Some("00:00".into()),
            ..draft(n)
        },
    ),
    (
        "all list the scope that is asked for, at another hour in 8 zones",
        |n, _| RuleDraft {
            scopes: Some(vec![SCOPES[n % 3].into()]),
            time_of_day_start: Some("00:00".into()),
            time_of_day_end: Some("00:00".into()),
            time_zone: Some(ZONES[n % 8].into()),
            ..draft(n)
        },
    ),
];

fn draft(number: usize) -> RuleDraft {
    RuleDraft {
        name: format!("Policy {number}"),
        effect: if number % 2 == 0 { Effect::Deny } else { Effect::Allow },
        priority: i64::try_from(number % 10).unwrap(),
        agent_id: None,
        principal_id: None,
        scopes: None,
        audience: None,
        time_of_day_start: None,
        time_of_day_end: None,
        time_zone: None,
        days_of_week: None,
    }
}

fn agent_number(number: usize) -> AgentId {
    let random = SeededRandom::new(u64::try_from(number).unwrap());
    new_id(&random, grantex_core::clock::Timestamp::from_millis(0))
}

struct Bench {
    grantex: Grantex<AnyStore>,
    ctx: Context,
    policies: usize,
    rounds: usize,
}

struct Tenant {
    developer: Developer,
    key: Secret<String>,
    agent: Agent,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| arguments.get(index).map_or(default, |text| text.parse().unwrap());
    let file = std::env::temp_dir().join(format!("grantex-policies-{}.db", std::process::id()));
    let url = match arguments.first().map(String::as_str) {
        None | Some("sqlite") => format!("sqlite:{}", file.display()),
        Some(url) => url.to_owned(),
    };
    let (policies, rounds) = (number(1, 10_000), number(2, 2_000));
    migrate::run(&url).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = grantex_store::open(&url, Options::default()).await.unwrap();
        println!("{policies} policies of one developer, {rounds} authorizations with and without");
        let bench = Bench::new(store, policies, rounds);
        for (name, rule) in ARRANGEMENTS {
            bench.run(name, rule).await;
        }
    });
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
    }
}

impl Bench {
    fn new(store: AnyStore, policies: usize, rounds: usize) -> Self {
        let key = Arc::new(KeyPair::generate(Algorithm::Es256).unwrap().0);
        let keys = KeyRing::new(key.clone(), key.clone(), vec![key]);
        let sealer = MasterKey::parse(&"5a".repeat(32)).unwrap();
        let settings = Settings::new("https://auth.example");
        let grantex = Grantex::builder(store, settings, keys, sealer, SystemEntropy::default()).build();
        let ctx = grantex.context(slog::Logger::root(slog::Discard, slog::o!()), "bench".to_owned());
        Self {
            grantex,
            ctx,
            policies,
            rounds,
        }
    }

    async fn tenant(&self) -> Tenant {
        let account = Signup {
            name: "Acme".into(),
            email: None,
            mode: Mode::Live,
        };
        let signed_up = self.grantex.signup(&self.ctx, account).await.unwrap();
        let command = RegisterAgent {
            name: "Assistant".into(),
            description: String::new(),
            scopes: Scopes::default(),
            status: AgentStatus::Active,
        };
        let agent = self
            .grantex
            .register_agent(&self.ctx, &signed_up.developer, command)
            .await
            .unwrap();
        Tenant {
            developer: signed_up.developer,
            key: signed_up.api_key,
            agent,
        }
    }

    async fn run(&self, name: &str, rule: fn(usize, &AgentId) -> RuleDraft) {
        let (plain, governed) = (self.tenant().await, self.tenant().await);
        let random = SeededRandom::new(1);
        let now = self.grantex.now();
        let policy = |n| Policy {
            id: new_id(&random, now),
            developer_id: governed.developer.id.clone(),
            rule: rule(n, &governed.agent.id).check().unwrap(),
            created_at: now,
            updated_at: now,
        };
        let policies: Vec<Policy> = (0..self.policies).map(policy).collect();
        self.insert(&governed.developer, policies.clone()).await;

        println!("\n{name}");
        let began = Instant::now();
        self.authorize(&governed).await;
        println!(
            "  first authorization, which reads them   {:>9.1} ms",
            began.elapsed().as_secs_f64() * 1e3
        );
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..self.rounds {
            for (tenant, times) in [&plain, &governed].into_iter().zip(&mut times) {
                let began = Instant::now();
                self.authorize(tenant).await;
                times.push(began.elapsed());
            }
        }
        let [without, with] = times.map(|times| median(times));
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!("  authorize without policies, median      {:>9.1} µs", micros(without));
        println!("  authorize with them, median             {:>9.1} µs", micros(with));
        println!(
            "  difference                              {:>9.1} µs",
            micros(with) - micros(without)
        );
        self.decide(&governed, policies);
    }

    /// The decision alone.
    fn decide(&self, tenant: &Tenant, policies: Vec<Policy>) {
        let set = PolicySet::new(policies);
        let scopes = Scopes::parse(SCOPES.iter().map(|&scope| scope.to_owned()).collect()).unwrap();
        let question = PolicyQuestion {
            action: PolicyAction::Authorize,
            developer_id: &tenant.developer.id,
            agent_id: &tenant.agent.id,
            principal_id: "user-1",
            scopes: &scopes,
            audience: Some("https://api.example"),
            at: SystemClock::new().now(),
        };
        let (mut total, mut slowest) = (Duration::ZERO, Duration::ZERO);
        let times = 1_000;
        for _ in 0..times {
            let began = Instant::now();
            assert!(set.decisive(&question).is_none());
            let took = began.elapsed();
            total += took;
            slowest = slowest.max(took);
        }
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "  the decision alone, mean and slowest    {:>9.1} µs {:>9.1} µs",
            micros(total) / f64::from(times),
            micros(slowest)
        );
    }

    async fn insert(&self, developer: &Developer, policies: Vec<Policy>) {
        let developer = developer.id.clone();
        let options = UnitOptions {
            developer: Some(developer.clone()),
            admission: Admission::default(),
        };
        let inserted: Result<(), StoreError> = self
            .grantex
            .store()
            .transact(options, move |tx| {
                Box::pin(async move {
                    for policy in &policies {
                        tx.insert_policy(policy).await?;
                    }
                    tx.advance_policy_version(&developer).await.map(drop)
                })
            })
            .await;
        inserted.unwrap();
    }

    async fn authorize(&self, tenant: &Tenant) {
        let developer = self.grantex.authenticate(tenant.key.expose()).await.unwrap().unwrap();
        let command = Authorize {
            agent_id: Some(tenant.agent.id.clone()),
            principal_id: "user-1".into(),
            scopes: Scopes::parse(SCOPES.iter().map(|&scope| scope.to_owned()).collect()).unwrap(),
            redirect_uri: None,
            state: None,
            expires_in: Lifetime::hours(1),
            audience: Some("https://api.example".into()),
            code_challenge: None,
        };
        let opened = self.grantex.authorize(&self.ctx, &developer, command).await.unwrap();
        assert!(opened.by_policy.is_none());
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
