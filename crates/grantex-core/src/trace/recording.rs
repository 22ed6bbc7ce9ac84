//! What is recorded of one call.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Attribute, Span, SpanId, SpanKind, TraceContext};
use crate::clock::Clock;

/// Spans that are kept of one call; further ones are left out.
const MOST_SPANS: usize = 128;

/// What one call asked of the store, and its spans if somebody wants them. Clones record together.
#[derive(Clone)]
pub struct Recording(Arc<Inner>);

struct Inner {
    /// Where the call is in its trace; `None` when it has none.
    place: Option<TraceContext>,
    clock: Arc<dyn Clock>,
    statements: AtomicU64,
    nanoseconds: AtomicU64,
    spans: Option<Spans>,
}

struct Spans {
    /// The span around whatever begins next. A call does one thing after another.
    current: AtomicU64,
    next: AtomicU64,
    /// Monotonic time and wall-clock time, at one moment.
    began: Duration,
    began_at: u64,
    ended: Mutex<Vec<Span>>,
}

/// What a call asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreUse {
    /// Statements, as far as they were made for this call: not those that a store makes for many at once.
    pub statements: u64,
    /// How long the call waited for the store.
    pub waited: Duration,
}

impl Recording {
    /// A recording of what is asked of the store. `place` is where the call is in its trace.
    pub fn new(clock: Arc<dyn Clock>, place: Option<TraceContext>) -> Self {
        Self::with(clock, place, None)
    }

    /// The same, with spans: for calls that a tracer wants.
    pub fn with_spans(clock: Arc<dyn Clock>, place: TraceContext) -> Self {
        let root = u64::from_be_bytes(place.span_id.to_bytes());
        let spans = Spans {
            current: AtomicU64::new(root),
            next: AtomicU64::new(root),
            began: clock.monotonic(),
            began_at: u64::try_from(clock.now().as_millis()).unwrap_or(0) * 1_000_000,
            ended: Mutex::default(),
        };
        Self::with(clock, Some(place), Some(spans))
    }

    fn with(clock: Arc<dyn Clock>, place: Option<TraceContext>, spans: Option<Spans>) -> Self {
        Self(Arc::new(Inner {
            place,
            clock,
            statements: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
            spans,
        }))
    }

    /// Where the call is in its trace; `None` when it has none.
    pub fn place(&self) -> Option<TraceContext> {
        self.0.place
    }

    /// What was asked of the store so far.
    pub fn store_use(&self) -> StoreUse {
        StoreUse {
            statements: self.0.statements.load(Ordering::Relaxed),
            waited: Duration::from_nanos(self.0.nanoseconds.load(Ordering::Relaxed)),
        }
    }

    /// Begins a wait for the store, which ends when what is returned is dropped. `name` becomes the span's.
    pub fn store_call(&self, name: &'static str) -> StoreCall {
        StoreCall {
            began: self.0.clock.monotonic(),
            recording: self.clone(),
            statements: 0,
            _span: self.span(name),
        }
    }

    /// Counts statements that were made for this call.
    pub fn made_statements(&self, count: u64) {
        self.0.statements.fetch_add(count, Ordering::Relaxed);
    }

    /// Begins a span, which ends when what is returned is dropped; without a tracer it is nothing.
    pub fn span(&self, name: &'static str) -> Option<Running> {
        let spans = self.0.spans.as_ref()?;
        let id = spans.new_id();
        Some(Running {
            recording: self.clone(),
            name,
            id,
            parent: spans.current.swap(id, Ordering::Relaxed),
            began: self.0.clock.monotonic(),
        })
    }

    /// Ends the recording: the spans of the call, the given one around them. Empty when nobody wants them.
    pub fn end(
        &self,
        name: String,
        caller: Option<SpanId>,
        is_error: bool,
        attributes: Vec<(&'static str, Attribute)>,
    ) -> Vec<Span> {
        let (Some(spans), Some(place)) = (&self.0.spans, self.0.place) else {
            return Vec::new();
        };
        let mut all = std::mem::take(&mut *spans.lock());
        all.push(Span {
            trace_id: place.trace_id,
            span_id: place.span_id,
            parent: caller,
            has_remote_parent: caller.is_some(),
            name,
            kind: SpanKind::Server,
            began_at: spans.began_at,
            took: self.0.clock.monotonic().saturating_sub(spans.began),
            is_error,
            attributes,
        });
        all
    }
}

impl Spans {
    /// Ids that differ within the trace: those of the request, which are random, stirred (the finaliser of splitmix64).
    fn new_id(&self) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let mut id = self.next.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (id ^ (id >> 31)).max(1)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Span>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("place", &self.0.place)
            .field("store_use", &self.store_use())
            .finish_non_exhaustive()
    }
}

/// A wait for the store.
#[must_use = "the wait ends when this is dropped"]
pub struct StoreCall {
    recording: Recording,
    began: Duration,
    statements: u64,
    _span: Option<Running>,
}

impl StoreCall {
    /// Notes statements that were made meanwhile.
    pub fn made(&mut self, statements: u64) {
        self.statements += statements;
    }
}

impl Drop for StoreCall {
    fn drop(&mut self) {
        let inner = &self.recording.0;
        let waited = inner.clock.monotonic().saturating_sub(self.began);
        let waited = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        inner.nanoseconds.fetch_add(waited, Ordering::Relaxed);
        self.recording.made_statements(self.statements);
    }
}

/// A span that has not ended.
#[must_use = "the span ends when this is dropped"]
pub struct Running {
    recording: Recording,
    name: &'static str,
    id: u64,
    parent: u64,
    began: Duration,
}

impl Drop for Running {
    fn drop(&mut self) {
        let inner = &self.recording.0;
        let (Some(spans), Some(place)) = (&inner.spans, inner.place) else {
            return;
        };
        spans.current.store(self.parent, Ordering::Relaxed);
        let Some(span_id) = SpanId::from_bytes(self.id.to_be_bytes()) else {
            return;
        };
        let since = self.began.saturating_sub(spans.began);
        let since = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let span = Span {
            trace_id: place.trace_id,
            span_id,
            parent: SpanId::from_bytes(self.parent.to_be_bytes()),
            has_remote_parent: false,
            name: self.name.to_owned(),
            kind: SpanKind::Internal,
            began_at: spans.began_at.saturating_add(since),
            took: inner.clock.monotonic().saturating_sub(self.began),
            is_error: false,
            attributes: Vec::new(),
        };
        let mut ended = spans.lock();
        if ended.len() < MOST_SPANS {
            ended.push(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Lifetime;
    use crate::testing::ManualClock;

    fn place() -> TraceContext {
        TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap()
    }

    #[test]
    fn waits_and_statements_add_up_over_clones() {
        let clock = ManualClock::default();
        let recording = Recording::new(Arc::new(clock.clone()), None);
        for statements in [1, 2] {
            let mut call = recording.clone().store_call("grantex.store.read");
            clock.advance(Lifetime::millis(5));
            call.made(statements);
        }
        clock.advance(Lifetime::millis(100));
        recording.made_statements(4);
        let expected = StoreUse {
            statements: 7,
            waited: Duration::from_millis(10),
        };
        assert_eq!(recording.store_use(), expected);
        assert!(recording.span("grantex.authorize").is_none(), "nobody wants spans");
        assert_eq!(recording.end("GET /".into(), None, false, Vec::new()), []);
    }

    #[test]
    fn spans_nest_as_they_begin_and_end() {
        let clock = ManualClock::default();
        let recording = Recording::with_spans(Arc::new(clock.clone()), place());
        let outer = recording.span("outer");
        clock.advance(Lifetime::millis(1));
        drop(recording.store_call("first"));
        let second = recording.span("second");
        clock.advance(Lifetime::millis(2));
        drop(second);
        drop(outer);
        let caller = SpanId::from_bytes([9; 8]);
        let spans = recording.end("POST /".into(), caller, true, Vec::new());
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["first", "second", "outer", "POST /"]);
        let [first, second, outer, root] = spans.try_into().unwrap();
        assert_eq!(
            (first.parent, second.parent),
            (Some(outer.span_id), Some(outer.span_id))
        );
        assert_eq!((outer.parent, root.parent), (Some(root.span_id), caller));
        assert_eq!(root.span_id, place().span_id);
        assert!(root.is_error && root.has_remote_parent && !outer.has_remote_parent);
        assert_eq!(second.began_at - root.began_at, 1_000_000);
        assert_eq!(
            (second.took, root.took),
            (Duration::from_millis(2), Duration::from_millis(3))
        );
        assert_eq!(
            recording.end(String::new(), None, false, Vec::new()).len(),
            1,
            "handed out once"
        );
    }

    #[test]
    fn a_call_keeps_only_so_many_spans() {
        let recording = Recording::with_spans(Arc::new(ManualClock::default()), place());
        for _ in 0..10_000 {
            drop(recording.span("again"));
        }
        let spans = recording.end(String::new(), None, false, Vec::new());
        let ids: std::collections::HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
        assert_eq!((spans.len(), ids.len()), (MOST_SPANS + 1, MOST_SPANS + 1));
    }
}
