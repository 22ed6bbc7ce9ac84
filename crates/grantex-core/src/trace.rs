//! Traces: the W3C trace context of a call, and what is recorded of it on the way.
//!
//! A [`Recording`] accompanies each call in its [`Context`](crate::context::Context). It always counts what the call asks of the
//! store; spans it keeps only when it was told to, so that without tracing there is nothing to pay. Nothing is sent from here: a
//! [`Tracer`] is handed the spans when the call has ended.

mod context;
mod recording;

pub use context::{SpanId, TraceContext, TraceId};
pub use recording::{Recording, Running, StoreCall, StoreUse};

use std::time::Duration;

/// What a span is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// A request that somebody else made.
    Server,
    /// A request to somebody else.
    Client,
    /// Work within.
    Internal,
}

/// A value that describes a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A text from a closed set, or an id; never anything secret.
    Text(String),
    /// A number.
    Number(i64),
}

/// A stretch of work that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The trace.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// The span around it, if any.
    pub parent: Option<SpanId>,
    /// Whether the span around it was somebody else's.
    pub has_remote_parent: bool,
    /// What was done: from a closed set, never input.
    pub name: String,
    /// What it is about.
    pub kind: SpanKind,
    /// When it began, in nanoseconds since the Unix epoch.
    pub began_at: u64,
    /// How long it took.
    pub took: Duration,
    /// Whether it failed through no fault of the caller.
    pub is_error: bool,
    /// What describes it.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// Takes the spans of calls that have ended. Must not block.
pub trait Tracer: Send + Sync + 'static {
    /// All spans of one call.
    fn ended(&self, spans: Vec<Span>);
    /// Whether to record a call that nobody upstream has decided about.
    fn samples(&self, trace_id: TraceId) -> bool;
}
