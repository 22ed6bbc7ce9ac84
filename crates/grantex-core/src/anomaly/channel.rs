//! Channels: where people are told of anomalies.
//!
//! A channel is an endpoint like a webhook ([`crate::webhook`]), with the same durable deliveries, attempts, breaker and guard
//! against private addresses; what differs is who is told of what ([`Channel::wants`]) and how it is written
//! ([`super::notice`]). A channel's secret (the URL of a Slack webhook, a routing key, the key of signatures) is kept
//! sealed; everything else about it is in [`Channel::config`], which holds [`REDACTED`] in the secret's place.

use serde_json::{Map, Value, json};

use super::Severity;
use crate::closed;
use crate::secret::Secret;
use crate::webhook::address::is_host_name;
use crate::webhook::target::UrlRefusal;

/// Channels that one developer may have.
pub const MAX_CHANNELS: usize = 20;
/// Addresses that one e-mail channel may have.
pub const MAX_ADDRESSES: usize = 10;
/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";
/// Where PagerDuty takes events (Events API v2).
pub const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

closed! {
    /// What a channel speaks.
    pub enum ChannelKind {
        /// The signed envelope of webhooks.
        Webhook = "webhook",
        /// A Slack incoming webhook, or what takes the same.
        Slack = "slack",
        /// PagerDuty Events API v2.
        PagerDuty = "pagerduty",
        /// E-mail.
        Email = "email",
    }
}

/// A channel, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// What it speaks.
    pub kind: ChannelKind,
    /// For people.
    pub name: String,
    /// How it is reached, with [`REDACTED`] in the place of secrets.
    pub config: Map<String, Value>,
    /// Of which anomalies it is told; the gravest first.
    pub severities: Vec<Severity>,
}

impl Channel {
    /// Whether it is told of anomalies of this severity.
    pub fn wants(&self, severity: Severity) -> bool {
        self.severities.contains(&severity)
    }

    /// The addresses of an e-mail channel.
    pub fn addresses(&self) -> Vec<String> {
        let addresses = self.config.get("to").and_then(Value::as_array);
        let texts = addresses.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }

    /// The stored form: a JSON object.
    pub fn to_stored(&self) -> String {
        let severities: Vec<&str> = self.severities.iter().map(|severity| severity.as_str()).collect();
        json!({"type": self.kind.as_str(), "name": self.name, "config": self.config, "severities": severities})
            .to_string()
    }

    /// Reads the stored form; `None` when it is none.
    pub fn from_stored(text: &str) -> Option<Self> {
        let Ok(Value::Object(mut stored)) = serde_json::from_str(text) else {
            return None;
        };
        let severities = stored.get("severities")?.as_array()?.iter();
        let severities = severities.map(|text| Severity::parse(text.as_str()?));
        Some(Self {
            kind: ChannelKind::parse(stored.get("type")?.as_str()?)?,
            name: stored.get("name")?.as_str()?.to_owned(),
            severities: severities.collect::<Option<_>>()?,
            config: match stored.remove("config")? {
                Value::Object(config) => config,
                _ => return None,
            },
        })
    }
}

/// Severities, each once, the gravest first.
pub fn in_order(severities: &[Severity]) -> Vec<Severity> {
    let all = Severity::ALL.iter().rev();
    all.filter(|severity| severities.contains(severity)).copied().collect()
}

/// What is wrong with a wish for a channel. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct ChannelProblem {
    /// The field.
    pub field: String,
    /// Continues a sentence that begins with the field.
    pub problem: String,
}

impl ChannelProblem {
    pub(super) fn of(field: &str, problem: impl ToString) -> Self {
        Self {
            field: field.to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// A configuration that was read.
#[derive(Debug)]
pub(super) struct Configured {
    /// What is shown.
    pub config: Map<String, Value>,
    /// What is called, where that is no secret.
    pub url: Option<String>,
    /// What is sealed; `None` when a key for signatures is to be made.
    pub secret: Option<Secret<String>>,
}

/// Reads a configuration. `check_url` says whether a URL may be called.
pub(super) fn configure(
    kind: ChannelKind,
    config: &Map<String, Value>,
    check_url: impl Fn(&str) -> Result<(), UrlRefusal>,
) -> Result<Configured, ChannelProblem> {
    let reader = Reader(config);
    let checked = |name: &str, url: &str| {
        check_url(url).map_err(|refusal| ChannelProblem::of(&format!("config.{name}"), refusal))
    };
    match kind {
        ChannelKind::Webhook => {
            reader.knows_only(&["url", "secret"])?;
            let (name, url) = reader.required(&["url"])?;
            checked(name, url)?;
            let secret = reader.optional("secret")?;
            if let Some(secret) = secret {
                let is_key = (16..=256).contains(&secret.chars().count());
                is_key
                    .then_some(())
                    .ok_or_else(|| ChannelProblem::of("config.secret", "must be 16 to 256 characters"))?;
            }
            Ok(Configured {
                config: shown([("url", url), ("secret", REDACTED)]),
                url: Some(url.to_owned()),
                secret: secret.map(|secret| Secret::new(secret.to_owned())),
            })
        }
        ChannelKind::Slack => {
            reader.knows_only(&["webhookUrl", "url"])?;
            let (name, url) = reader.required(&["webhookUrl", "url"])?;
            checked(name, url)?;
            Ok(Configured {
                config: shown([("webhookUrl", &format!("{}/{REDACTED}", origin(url)))]),
                url: None,
                secret: Some(Secret::new(url.to_owned())),
            })
        }
        ChannelKind::PagerDuty => {
            reader.knows_only(&["routingKey", "integrationKey", "url"])?;
            let (name, key) = reader.required(&["routingKey", "integrationKey"])?;
            if key.len() != 32 || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(ChannelProblem::of(
                    &format!("config.{name}"),
                    "must be the 32 letters and digits of an integration key of Events API v2",
                ));
            }
            let url = reader.optional("url")?.unwrap_or(PAGERDUTY_URL);
            checked("url", url)?;
            Ok(Configured {
                config: shown([("routingKey", REDACTED), ("url", url)]),
                url: Some(url.to_owned()),
                secret: Some(Secret::new(key.to_owned())),
            })
        }
        ChannelKind::Email => {
            reader.knows_only(&["to", "addresses"])?;
            Ok(Configured {
                config: Map::from_iter([("to".to_owned(), json!(reader.addresses()?))]),
                url: None,
                secret: Some(Secret::new(String::new())),
            })
        }
    }
}

fn shown<const N: usize>(members: [(&str, &str); N]) -> Map<String, Value> {
    let members = members.into_iter().map(|(name, text)| (name.to_owned(), json!(text)));
    members.collect()
}

/// Scheme and host, without anything behind them.
fn origin(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url
        .get(after_scheme..)
        .and_then(|rest| rest.find(['/', '?', '#']))
        .map_or(url.len(), |at| after_scheme + at);
    url.get(..end).unwrap_or_default()
}

struct Reader<'a>(&'a Map<String, Value>);

impl<'a> Reader<'a> {
    /// A member that nobody reads is refused: whoever wrote it expects something of it.
    fn knows_only(&self, known: &[&str]) -> Result<(), ChannelProblem> {
        let Some(unknown) = self.0.keys().find(|name| !known.contains(&name.as_str())) else {
            return Ok(());
        };
        let name: String = unknown.chars().filter(|c| !c.is_control()).take(64).collect();
        let problem = format!("is not known for this type; known are {}", known.join(", "));
        Err(ChannelProblem::of(&format!("config.{name}"), problem))
    }

    fn optional(&self, name: &str) -> Result<Option<&'a str>, ChannelProblem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(ChannelProblem::of(
                &format!("config.{name}"),
                "must be a text that is not empty",
            )),
        }
    }

    /// The first of these names that is there, with its text.
    fn required<'n>(&self, names: &[&'n str]) -> Result<(&'n str, &'a str), ChannelProblem> {
        for name in names {
            if let Some(text) = self.optional(name)? {
                return Ok((name, text));
            }
        }
        let name = names.first().copied().unwrap_or_default();
        Err(ChannelProblem::of(&format!("config.{name}"), "is required"))
    }

    fn addresses(&self) -> Result<Vec<&'a str>, ChannelProblem> {
        let (name, value) = ["to", "addresses"]
            .into_iter()
            .find_map(|name| Some((name, self.0.get(name)?)))
            .ok_or_else(|| ChannelProblem::of("config.to", "is required"))?;
        let wrong = |problem: &str| ChannelProblem::of(&format!("config.{name}"), problem);
        let values = match value {
            Value::Array(values) => values.as_slice(),
            Value::String(_) => std::slice::from_ref(value),
            _ => return Err(wrong("must be an e-mail address or a list of them")),
        };
        if values.is_empty() || values.len() > MAX_ADDRESSES {
            return Err(wrong(&format!("must hold 1 to {MAX_ADDRESSES} e-mail addresses")));
        }
        let address = |value: &'a Value| value.as_str().filter(|text| is_address(text));
        let addresses = values.iter().map(address).collect::<Option<Vec<_>>>();
        addresses.ok_or_else(|| wrong("must hold e-mail addresses such as security@example.com"))
    }
}

/// Whether a text is an address that every mail server takes: a dot-atom of ASCII (RFC 5322 §3.2.3) and a host name.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let is_atom = |atom: &str| {
        !atom.is_empty()
            && atom
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
    };
    text.len() <= 254
        && local.len() <= 64
        && local.split('.').all(is_atom)
        && domain.contains('.')
        && is_host_name(&domain.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
