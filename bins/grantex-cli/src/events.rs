//! `events tail`: the service's stream of server-sent events, taken up again after every interruption.

use std::time::Duration;

use grantex_core::clock::Lifetime;
use reqwest::Response;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};

use crate::cli::Tail;
use crate::client::{Client, part};
use crate::error::Failure;
use crate::output::{Output, Tone, shown};
use crate::sse::{Message, Reader};

/// Pauses before connecting again: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Shows events until as many were shown as are wanted, or the process is ended.
///
/// Nothing is missing and nothing comes twice: the stream tells positions, and is taken up behind the last one. A stream that never began
/// is an error; one that was interrupted is taken up again for as long as the service may come back.
pub async fn tail(client: &Client, options: &Tail, output: &Output) -> Result<(), Failure> {
    let mut tail = Following {
        position: options.after.clone(),
        left: options.count,
        has_begun: false,
        options,
        output,
    };
    let mut pause = PAUSES.0;
    loop {
        let before = tail.position.clone();
        let interrupted = match tail.follow(client).await {
            Ok(End::Enough) => return Ok(()),
            Ok(End::Interrupted(why)) => why,
            Err(failure) if tail.has_begun && failure.is_passing() => failure.text().unwrap_or_default(),
            Err(failure) => return Err(failure),
        };
        if tail.position != before {
            pause = PAUSES.0;
        }
        output.complain(&format!("{interrupted}; connecting again"));
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

enum End {
    /// As many events were shown as are wanted.
    Enough,
    /// The stream ended, for this reason.
    Interrupted(String),
}

struct Following<'a> {
    position: Option<String>,
    left: Option<u64>,
    has_begun: bool,
    options: &'a Tail,
    output: &'a Output,
}

impl Following<'_> {
    /// Follows one connection to its end.
    async fn follow(&mut self, client: &Client) -> Result<End, Failure> {
        let mut response = self.connect(client).await?;
        self.has_begun = true;
        let silence = millis(self.options.silence);
        let mut reader = Reader::default();
        let mut reason = "the stream was interrupted".to_owned();
        loop {
            let read = match part(Instant::now() + silence, &mut response).await {
                Ok(Some(bytes)) => reader.read(&bytes),
                Ok(None) => return Ok(End::Interrupted(reason)),
                Err(failure) => return Ok(End::Interrupted(failure.text().unwrap_or(reason))),
            };
            let messages = read.map_err(|_| Failure::Unanswered("the stream is none of events".to_owned()))?;
            for message in messages {
                match message {
                    Message::Comment(text) => {
                        if let Some(why) = text.strip_prefix("ended: ") {
                            reason = format!("the service ended the stream ({why})");
                        }
                    }
                    Message::Position(position) => self.position = Some(position),
                    Message::Event { data, position } => {
                        self.show(&data)?;
                        self.position = position.or(self.position.take());
                        if self.left == Some(0) {
                            return Ok(End::Enough);
                        }
                    }
                }
            }
        }
    }

    async fn connect(&self, client: &Client) -> Result<Response, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(position) = &self.position {
            let value = HeaderValue::from_str(position)
                .map_err(|_| Failure::Usage("--after is no id of an event and no position of the stream".to_owned()))?;
            headers.insert(LAST_EVENT_ID, value);
        }
        let types = self.options.types.join(",");
        let query: &[(&str, &str)] = match types.is_empty() {
            true => &[],
            false => &[("types", types.as_str())],
        };
        client.open(&["v1", "events", "stream"], query, headers).await
    }

    fn show(&mut self, data: &str) -> Result<(), Failure> {
        let event: Value = serde_json::from_str(data)
            .map_err(|_| Failure::Unanswered("the stream holds an event that is no JSON".to_owned()))?;
        let details = event
            .get("data")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        if !self.is_wanted(&details) {
            return Ok(());
        }
        match self.output.is_json() {
            true => self.output.json(&event)?,
            false => self.output.line(&self.described(&event, &details))?,
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(())
    }

    fn is_wanted(&self, details: &Map<String, Value>) -> bool {
        let has = |name: &str, wanted: &Option<String>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| details.get(name).and_then(Value::as_str) == Some(wanted))
        };
        let options = self.options;
        has("grantId", &options.grant) && has("agentId", &options.agent) && has("principalId", &options.principal)
    }

    fn described(&self, event: &Value, details: &Map<String, Value>) -> String {
        let text = |name: &str| event.get(name).map(shown).unwrap_or_default();
        let kind = text("type");
        let tone = match kind.split('.').next_back() {
            Some("created" | "issued") => Tone::Good,
            Some("revoked" | "denied" | "reuse_detected" | "auto_revoked" | "disabled") => Tone::Bad,
            Some("detected" | "agent_suspended") => Tone::Warning,
            _ => Tone::Plain,
        };
        let details: Vec<String> = details
            .iter()
            .map(|(name, value)| format!("{}={}", name, shown(value)))
            .collect();
        [
            self.output.toned(Tone::Faint, &text("createdAt")),
            self.output.toned(tone, &kind),
            self.output.toned(Tone::Plain, &details.join(" ")),
        ]
        .join("  ")
    }
}

fn millis(span: Lifetime) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(0))
}
