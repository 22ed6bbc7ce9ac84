//! Whether a test alert reaches a receiver.
//!
//! Alertmanager does not tell whether one alert was sent on. It counts requests to receivers, so what is told here is that it routed the
//! alert, to whom, and that afterwards requests of a kind succeeded or failed. With the feature `receiver-name-in-metrics` only those
//! of the alert's own receiver count.

use std::collections::BTreeMap;
use std::time::Duration;

use grantex_core::clock::{Clock, Lifetime};
use grantex_core::id::Random as _;
use grantex_core::secret::hex;
use grantex_core::token::crypto::SystemEntropy;
use serde_json::{Value, json};
use url::Url;

use super::findings::Findings;
use super::services::{Services, items, text};
use crate::cli::DoctorOptions;
use crate::error::Failure;

/// How often the counters are read while a notification is waited for.
const EVERY: Duration = Duration::from_millis(500);
/// How long Alertmanager may take to list an alert that it accepted.
const LISTED_WITHIN: Lifetime = Lifetime::seconds(15);

const CHECK: &str = "test alert";
const RECEIVER: &str = "see Alertmanager's log, and the receiver's address and credentials in its configuration";

/// Sends a test alert to the Alertmanager that is named, and waits until a receiver was told.
pub async fn look(
    services: &Services,
    options: &DoctorOptions,
    clock: &dyn Clock,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let Some(base) = &options.alertmanager else {
        return Ok(());
    };
    let status = match services.json(base, "/api/v2/status", &[]).await {
        Ok(status) => status,
        Err(why) => {
            return findings.failed(
                "alertmanager",
                format!("cannot be asked: {why}"),
                "start it, check the address, and give a token by --bearer-token-file if it wants one",
            );
        }
    };
    findings.ok(
        "alertmanager",
        format!("version {}", text(&status, "/versionInfo/version")),
    )?;
    services
        .clock(base, "/-/healthy", "Alertmanager", clock, findings)
        .await?;
    let alert = TestAlert::new(options);
    let before = match Sent::read(services, base).await {
        Ok(before) => before,
        Err(why) => return findings.failed(CHECK, format!("its metrics cannot be read: {why}"), RECEIVER),
    };
    // Should this program be stopped, the alert ends by itself.
    let ends_at = clock.now().plus(options.wait).plus(Lifetime::minutes(5));
    if let Err(why) = services
        .post(base, "/api/v2/alerts", &alert.body(&ends_at.to_string()))
        .await
    {
        return findings.failed(CHECK, format!("is not accepted: {why}"), "see Alertmanager's log");
    }
    let outcome = watch(services, base, options, &alert, &before, clock).await;
    let resolved = services
        .post(base, "/api/v2/alerts", &alert.body(&clock.now().to_string()))
        .await;
    outcome.tell(options, &alert, findings)?;
    match resolved {
        Ok(()) => Ok(()),
        Err(why) => findings.warning(
            CHECK,
            format!("could not be ended: {why}"),
            format!("it ends by itself at {ends_at}"),
        ),
    }
}

struct TestAlert {
    probe: String,
    labels: Value,
}

impl TestAlert {
    fn new(options: &DoctorOptions) -> Self {
        let mut bytes = [0_u8; 8];
        SystemEntropy::default().fill(&mut bytes);
        let probe = hex(&bytes);
        let labels = json!({
            "alertname": "GrantexTest",
            "service": "grantex",
            "severity": options.alert_severity,
            "category": options.alert_category,
            "job": options.job,
            // Its own group and its own series, so that nothing before it delays or mutes it.
            "instance": format!("doctor-{probe}"),
            "cluster": format!("doctor-{probe}"),
        });
        Self { probe, labels }
    }

    fn body(&self, ends_at: &str) -> Value {
        json!([{
            "labels": self.labels,
            "annotations": {
                "summary": "A test of alerting",
                "description": "Sent by grantex-server doctor. Nothing is wrong; nothing is to be done.",
            },
            "endsAt": ends_at,
        }])
    }
}

/// What became of the alert.
enum Outcome {
    /// A receiver was told, over these integrations.
    Told { receivers: String, by: String },
    /// Telling a receiver failed.
    Refused { receivers: String, by: String },
    /// A silence or an inhibition keeps it back.
    Muted,
    /// It is routed, and nobody was told in time.
    Silent { receivers: String },
    /// It was never listed.
    Lost,
    /// Alertmanager stopped answering.
    Gone(String),
}

async fn watch(
    services: &Services,
    base: &Url,
    options: &DoctorOptions,
    alert: &TestAlert,
    before: &Sent,
    clock: &dyn Clock,
) -> Outcome {
    let began = clock.now();
    let filter = format!("instance=\"doctor-{}\"", alert.probe);
    let mut receivers: Option<Vec<String>> = None;
    loop {
        let waited = clock.now().since(began);
        if receivers.is_none() {
            match services.json(base, "/api/v2/alerts", &[("filter", &filter)]).await {
                Ok(listed) => match items(&listed, "").first() {
                    Some(listed) if text(listed, "/status/state") == "suppressed" => return Outcome::Muted,
                    Some(listed) => receivers = Some(names(listed)),
                    None if waited > LISTED_WITHIN => return Outcome::Lost,
                    None => {}
                },
                Err(why) => return Outcome::Gone(why),
            }
        }
        if let Some(names) = &receivers {
            let now = match Sent::read(services, base).await {
                Ok(now) => now,
                Err(why) => return Outcome::Gone(why),
            };
            let (succeeded, failed) = now.since(before, names);
            let receivers = names.join(", ");
            if !failed.is_empty() {
                let by = failed.join(", ");
                return Outcome::Refused { receivers, by };
            }
            if !succeeded.is_empty() {
                let by = succeeded.join(", ");
                return Outcome::Told { receivers, by };
            }
            if waited > options.wait {
                return Outcome::Silent { receivers };
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn names(listed: &Value) -> Vec<String> {
    items(listed, "/receivers")
        .iter()
        .map(|receiver| text(receiver, "/name").to_owned())
        .collect()
}

impl Outcome {
    fn tell(&self, options: &DoctorOptions, alert: &TestAlert, findings: &mut Findings) -> Result<(), Failure> {
        let probe = &alert.probe;
        match self {
            Self::Told { receivers, by } => findings.ok(
                CHECK,
                format!(
                    "was routed to {receivers}, and Alertmanager has sent by {by} since; look there for GrantexTest, doctor-{probe}"
                ),
            ),
            Self::Refused { receivers, by } => findings.failed(
                CHECK,
                format!("was routed to {receivers}, and sending by {by} failed"),
                RECEIVER,
            ),
            Self::Muted => findings.failed(
                CHECK,
                "is muted by a silence or an inhibition",
                "end the silence, or inhibit less: alerts of these labels reach nobody now",
            ),
            Self::Silent { receivers } => findings.failed(
                CHECK,
                format!("was routed to {receivers}, which was not told within {} s", options.wait.as_seconds()),
                "wait longer than the route's group_wait (--wait); if it stays so, the receiver names no integration or a time interval mutes it",
            ),
            Self::Lost => findings.failed(CHECK, "was accepted and is not listed", "see Alertmanager's log"),
            Self::Gone(why) => findings.failed(
                CHECK,
                format!("Alertmanager stopped answering: {why}"),
                "see Alertmanager's log",
            ),
        }
    }
}

/// Requests to receivers, by what they are: all, and those that failed.
#[derive(Debug, Default, PartialEq)]
struct Sent(BTreeMap<Channel, (f64, f64)>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Channel {
    integration: String,
    /// Only told with a feature of Alertmanager.
    receiver: Option<String>,
}

impl Sent {
    async fn read(services: &Services, base: &Url) -> Result<Self, String> {
        let answer = services.get(base, "/metrics", &[]).await?;
        Ok(Self::parse(&String::from_utf8_lossy(&answer.body)))
    }

    fn parse(exposition: &str) -> Self {
        let mut sent = Self::default();
        for line in exposition.lines() {
            let Some((name, rest)) = line.split_once('{') else {
                continue;
            };
            let Some((labels, value)) = rest.rsplit_once("} ") else {
                continue;
            };
            let Ok(value) = value.trim().parse::<f64>() else {
                continue;
            };
            let label = |name: &str| {
                let start = format!("{name}=\"");
                labels
                    .split("\",")
                    .find_map(|label| label.trim_end_matches('"').strip_prefix(&start))
                    .map(str::to_owned)
            };
            let Some(integration) = label("integration") else {
                continue;
            };
            let channel = Channel {
                integration,
                receiver: label("receiver_name"),
            };
            let (all, failed) = sent.0.entry(channel).or_default();
            match name {
                "alertmanager_notification_requests_total" => *all += value,
                "alertmanager_notification_requests_failed_total" => *failed += value,
                _ => {}
            }
        }
        sent
    }

    /// By which integrations requests have succeeded, and by which they have failed, since then; of these receivers, where Alertmanager
    /// tells them apart.
    fn since(&self, before: &Self, receivers: &[String]) -> (Vec<String>, Vec<String>) {
        let (mut succeeded, mut failed) = (Vec::new(), Vec::new());
        for (channel, (all, bad)) in &self.0 {
            if channel.receiver.as_ref().is_some_and(|name| !receivers.contains(name)) {
                continue;
            }
            let (all_before, bad_before) = before.0.get(channel).copied().unwrap_or_default();
            let (more, more_bad) = (all - all_before, bad - bad_before);
            if more_bad > 0.0 {
                failed.push(channel.integration.clone());
            } else if more > 0.0 {
                succeeded.push(channel.integration.clone());
            }
        }
        (succeeded, failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(all: u32, failed: u32, labels: &str) -> Sent {
        Sent::parse(&format!(
            "# TYPE alertmanager_notification_requests_total counter\n\
             alertmanager_notification_requests_total{{{labels}}} {all}\n\
             alertmanager_notification_requests_failed_total{{{labels}}} {failed}\n\
             alertmanager_alerts{{state=\"active\"}} 3\nup 1\n"
        ))
    }

    #[test]
    fn requests_are_counted_by_integration() {
        let labels = "integration=\"webhook\"";
        let before = sent(5, 1, labels);
        let none = (Vec::<String>::new(), Vec::<String>::new());
        let webhook = || vec!["webhook".to_owned()];
        assert_eq!(before.since(&before, &[]), none);
        assert_eq!(sent(6, 1, labels).since(&before, &[]), (webhook(), vec![]));
        assert_eq!(sent(7, 2, labels).since(&before, &[]), (vec![], webhook()));
        // Nothing was sent before.
        assert_eq!(sent(1, 0, labels).since(&Sent::default(), &[]), (webhook(), vec![]));
    }

    #[test]
    fn requests_of_other_receivers_do_not_count_where_they_can_be_told_apart() {
        let labels = "integration=\"webhook\",receiver_name=\"pager\"";
        let (before, after) = (sent(5, 1, labels), sent(6, 1, labels));
        let told = |receiver: &str| after.since(&before, &[receiver.to_owned()]).0.len();
        assert_eq!((told("pager"), told("tickets")), (1, 0));
    }
}
