//! Remembering what was observed and logged.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use slog::{Drain, KV, Key, Level, Logger, Never, OwnedKVList, Record, Serializer, o};

use crate::event::{Event, Observer};

/// An observer that keeps every event. Clones share what they keep.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Event>>>);

impl Recorder {
    /// What was observed so far, in order.
    pub fn events(&self) -> Vec<Event> {
        locked(&self.0).clone()
    }

    /// What was observed so far, in order; forgets it.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut locked(&self.0))
    }

    /// The messages of what was observed so far, in order.
    pub fn messages(&self) -> Vec<&'static str> {
        locked(&self.0).iter().map(Event::message).collect()
    }
}

impl Observer for Recorder {
    fn observe(&self, event: &Event, _latency: Duration) {
        locked(&self.0).push(event.clone());
    }
}

/// A log line as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// The level.
    pub level: Level,
    /// The message.
    pub message: String,
    /// The fields of the line and of its logger.
    pub fields: BTreeMap<String, Value>,
}

/// A drain that keeps every line. Clones share what they keep.
#[derive(Debug, Clone, Default)]
pub struct LogLines(Arc<Mutex<Vec<LogLine>>>);

impl LogLines {
    /// A logger that writes here.
    pub fn logger(&self) -> Logger {
        Logger::root(self.clone(), o!())
    }

    /// The lines so far, in order.
    pub fn lines(&self) -> Vec<LogLine> {
        locked(&self.0).clone()
    }

    /// The lines so far, in order; forgets them.
    pub fn take(&self) -> Vec<LogLine> {
        std::mem::take(&mut locked(&self.0))
    }
}

impl Drain for LogLines {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let mut fields = Fields(BTreeMap::new());
        // The logger's own fields first, so that the line's win; gathering them into a map cannot fail.
        let _ = values.serialize(record, &mut fields);
        let _ = record.kv().serialize(record, &mut fields);
        locked(&self.0).push(LogLine {
            level: record.level(),
            message: record.msg().to_string(),
            fields: fields.0,
        });
        Ok(())
    }
}

struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn set(&mut self, key: Key, value: impl Into<Value>) -> slog::Result {
        self.0.insert(key.to_string(), value.into());
        Ok(())
    }
}

impl Serializer for Fields {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.set(key, value.to_string())
    }

    fn emit_bool(&mut self, key: Key, value: bool) -> slog::Result {
        self.set(key, value)
    }

    fn emit_u32(&mut self, key: Key, value: u32) -> slog::Result {
        self.set(key, value)
    }

    fn emit_i32(&mut self, key: Key, value: i32) -> slog::Result {
        self.set(key, value)
    }

    fn emit_u64(&mut self, key: Key, value: u64) -> slog::Result {
        self.set(key, value)
    }

    fn emit_i64(&mut self, key: Key, value: i64) -> slog::Result {
        self.set(key, value)
    }

    fn emit_usize(&mut self, key: Key, value: usize) -> slog::Result {
        self.set(key, value)
    }

    fn emit_f64(&mut self, key: Key, value: f64) -> slog::Result {
        self.set(key, value)
    }

    fn emit_none(&mut self, key: Key) -> slog::Result {
        self.set(key, Value::Null)
    }

    fn emit_serde(&mut self, key: Key, value: &dyn slog::SerdeValue) -> slog::Result {
        let value = serde_json::to_value(value.as_serde()).map_err(|_| slog::Error::Other)?;
        self.set(key, value)
    }
}

fn locked<T>(list: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_fields_and_those_of_their_logger() {
        let lines = LogLines::default();
        let logger = lines.logger().new(o!("requestId" => "req_1", "n" => 1));
        slog::warn!(logger, "limit.hit"; "n" => 2_u64, "ok" => true, "what" => format_args!("{}", "x"));
        let fields: Vec<_> = [
            ("n", 2.into()),
            ("ok", true.into()),
            ("requestId", "req_1".into()),
            ("what", "x".into()),
        ]
        .into_iter()
        .map(|(key, value): (&str, Value)| (key.to_owned(), value))
        .collect();
        let line = LogLine {
            level: Level::Warning,
            message: "limit.hit".into(),
            fields: fields.into_iter().collect(),
        };
        assert_eq!(lines.take(), [line]);
        assert_eq!(lines.lines(), []);
    }

    #[test]
    fn events_are_kept_in_order() {
        let recorder = Recorder::default();
        recorder.clone().observe(&Event::TokenVerified, Duration::ZERO);
        recorder.observe(&Event::AuditEntryLogged, Duration::ZERO);
        assert_eq!(recorder.messages(), ["token.verified", "audit.logged"]);
        assert_eq!(recorder.take(), [Event::TokenVerified, Event::AuditEntryLogged]);
        assert_eq!(recorder.events(), []);
    }
}
