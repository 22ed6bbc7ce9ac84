//! Webhooks: when they are sent, and where to.

use std::path::PathBuf;
use std::time::Duration;

use grantex_core::clock::Lifetime;
use grantex_core::webhook::WebhookSettings;
use grantex_core::webhook::schedule::Schedule;
use grantex_delivery::{DeliverySettings, DispatchSettings, Networks};

use super::{Env, Environment, Variable};

const ENABLED: Variable = Variable::new(
    "WEBHOOKS_ENABLED",
    "true",
    "`false`: no webhooks can be made, and none are sent by this server; another one on the same database may send them.",
);
const SCHEDULE: Variable = Variable::new(
    "WEBHOOK_RETRY_SCHEDULE",
    "standard",
    "Delays between attempts: `standard` (5s,30s,2m,10m,1h,4h,12h,24h,24h: about three days), `short` (30s,60s,120s,240s: five \
     attempts, as other servers of the protocol make them), or a comma-separated list.",
);
const DEADLINE: Variable = Variable::new("WEBHOOK_DEADLINE", "10s", "How long one attempt may take, 1s to 10m.");
const DISABLE_AFTER: Variable = Variable::new(
    "WEBHOOK_DISABLE_AFTER",
    "5d",
    "How long an endpoint may fail without a success before it is disabled.",
);
const SECRET_OVERLAP: Variable = Variable::new(
    "WEBHOOK_SECRET_OVERLAP",
    "24h",
    "How long a replaced secret signs as well, unless the developer says otherwise.",
);
const CONCURRENCY: Variable = Variable::new(
    "WEBHOOK_CONCURRENCY",
    "256",
    "Requests under way to all endpoints, 1 to 10000.",
);
const ENDPOINT_CONCURRENCY: Variable = Variable::new(
    "WEBHOOK_ENDPOINT_CONCURRENCY",
    "16",
    "Requests under way to one endpoint, 1 to 1000.",
);
const ALLOW_INSECURE_URLS: Variable = Variable::new(
    "WEBHOOK_ALLOW_INSECURE_URLS",
    "false",
    "`true` allows http receivers: for development.",
);
const ALLOW_PRIVATE_HOSTS: Variable = Variable::new(
    "WEBHOOK_ALLOW_PRIVATE_HOSTS",
    "false",
    "`true` allows receivers on this machine and in private networks, cloud metadata services included: for development.",
);
const ALLOW_NETWORKS: Variable = Variable::new(
    "WEBHOOK_ALLOW_NETWORKS",
    "",
    "Comma-separated networks or addresses that may be called although they are not public, such as `10.20.0.0/16`.",
);
const CA_FILE: Variable = Variable::new(
    "WEBHOOK_CA_FILE",
    "",
    "PEM file with certificates to trust beside those that the machine trusts.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[
    &ENABLED,
    &SCHEDULE,
    &DEADLINE,
    &DISABLE_AFTER,
    &SECRET_OVERLAP,
    &CONCURRENCY,
    &ENDPOINT_CONCURRENCY,
    &ALLOW_INSECURE_URLS,
    &ALLOW_PRIVATE_HOSTS,
    &ALLOW_NETWORKS,
    &CA_FILE,
];

/// The section.
#[derive(Debug)]
pub struct Webhooks {
    /// Whether there are any.
    pub is_enabled: bool,
    /// Numbers of the flows.
    pub flows: WebhookSettings,
    /// How receivers are called.
    pub delivery: DeliverySettings,
    /// How much is done at once.
    pub dispatch: DispatchSettings,
}

pub(super) fn read(env: &mut Env, environment: Environment) -> Webhooks {
    let (flows, delivery, dispatch) = (
        WebhookSettings::default(),
        DeliverySettings::default(),
        DispatchSettings::default(),
    );
    let mut health = flows.health;
    health.disable_after = env.lifetime(&DISABLE_AFTER, health.disable_after);
    let webhooks = Webhooks {
        is_enabled: env.flag(&ENABLED, true),
        flows: WebhookSettings {
            schedule: env.parsed(&SCHEDULE, flows.schedule, schedule),
            secret_overlap: env.lifetime(&SECRET_OVERLAP, flows.secret_overlap),
            health,
        },
        delivery: DeliverySettings {
            allow_insecure_urls: env.flag(&ALLOW_INSECURE_URLS, delivery.allow_insecure_urls),
            allow_private_hosts: env.flag(&ALLOW_PRIVATE_HOSTS, delivery.allow_private_hosts),
            allow_networks: env.parsed(&ALLOW_NETWORKS, Networks::default(), |text| {
                text.parse::<Networks>().map_err(|error| error.to_string())
            }),
            deadline: env.parsed(&DEADLINE, delivery.deadline, deadline),
            ca_file: env.text(&CA_FILE).map(PathBuf::from),
            ..delivery
        },
        dispatch: DispatchSettings {
            in_all: count(env.number(&CONCURRENCY, 256, 1..=10_000)),
            per_endpoint: count(env.number(&ENDPOINT_CONCURRENCY, 16, 1..=1_000)),
            ..dispatch
        },
    };
    if environment == Environment::Production && webhooks.delivery.allow_private_hosts {
        env.problem(
            ALLOW_PRIVATE_HOSTS.name,
            "must not be set in production; name the networks in WEBHOOK_ALLOW_NETWORKS",
        );
    }
    webhooks
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn schedule(text: &str) -> Result<Schedule, String> {
    match text {
        "standard" => Ok(Schedule::default()),
        "short" => Ok(Schedule::short()),
        list => {
            let delays = list.split(',').map(|delay| Lifetime::parse(delay.trim()));
            let delays: Option<Vec<Lifetime>> = delays.collect();
            Schedule::new(delays.ok_or("must be standard, short, or a list of spans like 30s,5m,1h")?)
        }
    }
}

pub(super) fn deadline(text: &str) -> Result<Duration, String> {
    let span = Lifetime::parse(text).map(|span| span.as_millis());
    let span = span.filter(|millis| (1_000..=600_000).contains(millis));
    let span = span.and_then(|millis| u64::try_from(millis).ok());
    span.map(Duration::from_millis)
        .ok_or_else(|| "must be a span from 1s to 10m".to_owned())
}
