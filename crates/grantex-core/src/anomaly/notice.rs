//! How channels are told of an anomaly: the stored envelope of the event, written as each receiver reads it.
//!
//! Formats: Slack incoming webhooks (`text` and `attachments`, which Mattermost, Rocket.Chat and Discord's `/slack` take as
//! well), PagerDuty Events API v2 (`trigger`), and plain text for e-mail.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Severity;
use super::channel::{Channel, ChannelKind};
use crate::clock::Timestamp;

/// The longest text of one part of a notice, in characters.
const LONGEST: usize = 1_000;
/// The longest subject, in characters: a line of a mail has 998 bytes (RFC 5322 §2.1.1), and nobody reads even that.
const LONGEST_SUBJECT: usize = 150;

/// What is told.
#[derive(Debug, Deserialize)]
pub struct Notice {
    /// The event.
    pub id: String,
    /// When it happened.
    #[serde(rename = "createdAt")]
    created_at: String,
    data: Data,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    /// Missing in a test.
    anomaly_id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    severity: Option<String>,
    rule_id: Option<String>,
    agent_id: Option<String>,
    principal_id: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    metadata: Map<String, Value>,
    detected_at: Option<String>,
}

/// What a test tells, in the place of an anomaly.
pub fn test_data(channel_id: &str, name: &str) -> Value {
    json!({
        "channelId": channel_id,
        "description": format!("This is a test of the channel {name}. Nothing has happened."),
    })
}

impl Notice {
    /// Reads the envelope of an event; `None` when it is no anomaly's and no test's.
    pub fn parse(payload: &str) -> Option<Self> {
        serde_json::from_str(payload).ok()
    }

    fn severity(&self) -> Option<Severity> {
        self.data.severity.as_deref().and_then(Severity::parse)
    }

    /// One line: severity, type and agent.
    fn title(&self) -> String {
        let Some(severity) = self.severity() else {
            return "Test".to_owned();
        };
        let kind = self.data.kind.as_deref().unwrap_or("anomaly");
        let title = match &self.data.agent_id {
            Some(agent) => format!("{severity}: {kind} of {agent}", severity = severity.as_str()),
            None => format!("{severity}: {kind}", severity = severity.as_str()),
        };
        plain(&title, LONGEST_SUBJECT)
    }

    fn description(&self) -> String {
        plain(&self.data.description, LONGEST)
    }

    /// What there is to know, by name.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let data = &self.data;
        let facts = [
            ("Severity", &data.severity),
            ("Type", &data.kind),
            ("Rule", &data.rule_id),
            ("Agent", &data.agent_id),
            ("Principal", &data.principal_id),
            ("Anomaly", &data.anomaly_id),
            ("Detected at", &data.detected_at),
        ];
        let known = facts
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        known.map(|(name, value)| (name, plain(value, 256))).collect()
    }

    /// The body for a Slack incoming webhook.
    pub fn slack(&self) -> String {
        let color = match self.severity() {
            Some(Severity::Critical) => "#8e0000",
            Some(Severity::High) => "#d93f0b",
            Some(Severity::Medium) => "#e6a700",
            Some(Severity::Low) => "#2f81f7",
            None => "#808080",
        };
        let fields: Vec<Value> = self
            .facts()
            .into_iter()
            .map(|(name, value)| json!({"title": name, "value": escaped(&value), "short": true}))
            .collect();
        let (title, description) = (escaped(&self.title()), escaped(&self.description()));
        json!({
            "text": format!("Grantex anomaly – {title}"),
            "attachments": [{
                "color": color, "fallback": description, "text": description, "fields": fields, "footer": "Grantex",
            }],
        })
        .to_string()
    }

    /// The body for PagerDuty. An anomaly has one key, so that a delivery that is repeated opens no second incident.
    pub fn pagerduty(&self, routing_key: &str) -> String {
        let severity = match self.severity() {
            Some(Severity::Critical) => "critical",
            Some(Severity::High) => "error",
            Some(Severity::Medium) => "warning",
            Some(Severity::Low) | None => "info",
        };
        let details: Map<String, Value> = self
            .data
            .metadata
            .iter()
            .take(32)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let source = self.data.agent_id.as_deref().unwrap_or("grantex");
        json!({
            "routing_key": routing_key,
            "event_action": "trigger",
            "dedup_key": self.data.anomaly_id.as_deref().unwrap_or(&self.id),
            "client": "Grantex",
            "payload": {
                "summary": plain(&format!("{}: {}", self.title(), self.data.description), 1_024),
                "source": plain(source, 256),
                "severity": severity,
                "timestamp": self.data.detected_at.as_deref().unwrap_or(&self.created_at),
                "class": self.data.kind.as_deref().unwrap_or("test"),
                "custom_details": {
                    "anomalyId": self.data.anomaly_id, "ruleId": self.data.rule_id,
                    "principalId": self.data.principal_id, "metadata": details,
                },
            },
        })
        .to_string()
    }

    /// Subject and text of a mail.
    pub fn mail(&self) -> (String, String) {
        let mut text = format!("{}\r\n\r\n", self.description());
        for (name, value) in self.facts() {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        (format!("[Grantex] {}", self.title()), text)
    }
}

/// The envelope of a test.
pub fn test_envelope(event_id: &str, kind: &str, at: Timestamp, channel_id: &str, channel: &Channel) -> String {
    let data = test_data(channel_id, &channel.name);
    json!({"id": event_id, "type": kind, "createdAt": at, "data": data}).to_string()
}

/// Whether a kind is told by the signed envelope itself.
pub const fn is_signed(kind: ChannelKind) -> bool {
    matches!(kind, ChannelKind::Webhook)
}

/// One line, without control characters and not too long.
fn plain(text: &str, longest: usize) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = line.take(longest + 1).collect();
    if line.chars().count() > longest {
        line.pop();
        line.pop();
        line.push('…');
    }
    line
}

/// Slack's control characters, so that what an agent is called can neither link nor call anybody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &str = r#"{"id":"evt_1","type":"anomaly.detected","createdAt":"2026-03-01T12:00:01.000Z","data":{
        "anomalyId":"anm_1","type":"rate_spike","severity":"high","ruleId":"AD-011","agentId":"ag_1","principalId":null,
        "description":"51 entries, over 50 <!channel>\r\n& more","metadata":{"count":51},"detectedAt":"2026-03-01T12:00:00.000Z"}}"#;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn slack_is_told_without_markup_that_calls_people() {
        let body = value(&Notice::parse(PAYLOAD).unwrap().slack());
        assert_eq!(body["text"], "Grantex anomaly – high: rate_spike of ag_1");
        let attachment = &body["attachments"][0];
        assert_eq!(attachment["text"], "51 entries, over 50 &lt;!channel&gt;  &amp; more");
        assert_eq!(attachment["fields"].as_array().unwrap().len(), 6, "no principal");
    }

    #[test]
    fn pagerduty_is_told_with_a_key_for_each_anomaly() {
        let body = value(&Notice::parse(PAYLOAD).unwrap().pagerduty("key"));
        assert_eq!(
            (&body["routing_key"], &body["event_action"], &body["dedup_key"]),
            (&json!("key"), &json!("trigger"), &json!("anm_1"))
        );
        assert_eq!(body["payload"]["severity"], "error");
        assert_eq!(body["payload"]["timestamp"], "2026-03-01T12:00:00.000Z");
        assert_eq!(body["payload"]["custom_details"]["metadata"]["count"], 51);
    }

    #[test]
    fn a_mail_has_one_line_of_subject_whatever_the_agent_is_called() {
        let (subject, text) = Notice::parse(PAYLOAD).unwrap().mail();
        assert_eq!(subject, "[Grantex] high: rate_spike of ag_1");
        assert!(text.starts_with("51 entries, over 50 <!channel>  & more\r\n\r\nSeverity: high\r\n"));
        let long = PAYLOAD.replace("ag_1", &"x\\r\\ny".repeat(100));
        let (subject, _) = Notice::parse(&long).unwrap().mail();
        assert!(subject.chars().count() <= LONGEST_SUBJECT + 10 && !subject.contains(char::is_control));
    }

    #[test]
    fn a_test_says_that_it_is_one() {
        let channel = Channel {
            kind: ChannelKind::Slack,
            name: "Ops".into(),
            config: Map::new(),
            severities: Vec::new(),
        };
        let payload = test_envelope("evt_1", "webhook.test", Timestamp::from_millis(0), "achan_1", &channel);
        let notice = Notice::parse(&payload).unwrap();
        assert_eq!(value(&notice.slack())["text"], "Grantex anomaly – Test");
        assert_eq!(value(&notice.pagerduty("key"))["payload"]["severity"], "info");
        assert!(notice.mail().1.contains("a test of the channel Ops"));
    }
}
