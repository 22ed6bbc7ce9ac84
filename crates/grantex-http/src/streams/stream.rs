//! One stream, as those who look after it see it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use grantex_core::event::filter::EventFilter;
use grantex_core::event::history::Beginning;
use grantex_core::secret::SecretHash;

use super::{STALL, StreamEnd, StreamTransport};

/// One open stream. There may be tens of thousands, so it holds no more than it must.
pub(crate) struct Stream {
    pub(super) id: u64,
    pub(super) transport: StreamTransport,
    /// With which key it was opened.
    pub(super) key_hash: SecretHash,
    pub(super) request_id: Box<str>,
    pub(super) opened_at: Duration,
    state: Mutex<State>,
}

/// What changes while a stream is open.
pub(super) struct State {
    /// The event behind which it goes on.
    pub position: i64,
    pub filter: EventFilter,
    /// Events handed out.
    pub sent: u64,
    /// Set once, by whoever ends it.
    pub ended: Option<StreamEnd>,
    /// When the connection last took something.
    pub took_at: Duration,
    /// The connection has room, and there was nothing to put there.
    pub is_waiting: bool,
    /// There may be something to do for whoever is polled next.
    pub is_called: bool,
    /// It has been silent for long enough.
    pub is_beat_due: bool,
    /// Signs of life that are still to be written to a connection that may be dead.
    pub probes: u8,
    waker: Option<Waker>,
}

impl Stream {
    pub(super) fn new(opening: Opening, id: u64) -> Self {
        let state = State {
            position: opening.beginning.after,
            filter: opening.filter,
            sent: 0,
            ended: None,
            took_at: opening.now,
            is_waiting: false,
            is_called: true,
            is_beat_due: false,
            probes: 0,
            waker: None,
        };
        Self {
            id,
            transport: opening.transport,
            key_hash: opening.key_hash,
            request_id: opening.request_id.into(),
            opened_at: opening.now,
            state: Mutex::new(state),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the stream look for what is new.
    pub(super) fn call(&self) {
        self.state().call();
    }

    /// Marks it as ended; `false` when it was already.
    pub(super) fn end(&self, end: StreamEnd) -> bool {
        let mut state = self.state();
        if state.ended.is_some() {
            return false;
        }
        state.ended = Some(end);
        state.call();
        true
    }

    /// What is due at `now`: a sign of life, or the end of a client that takes nothing.
    pub(super) fn beat(&self, now: Duration, keepalive: Duration) -> Option<StreamEnd> {
        let mut state = self.state();
        let silence = now.saturating_sub(state.took_at);
        if !state.is_waiting {
            return (silence >= STALL).then_some(StreamEnd::Slow);
        }
        state.is_beat_due = silence >= keepalive;
        if state.is_beat_due || state.probes > 0 {
            state.call();
        }
        None
    }
}

impl State {
    fn call(&mut self) {
        self.is_called = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Remembers whom to wake.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        self.is_waiting = true;
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    /// Notes that the connection takes something.
    pub(super) fn take(&mut self, now: Duration) {
        self.is_waiting = false;
        self.is_beat_due = false;
        self.took_at = now;
    }
}

/// What a stream begins with.
pub(crate) struct Opening {
    pub(crate) transport: StreamTransport,
    pub(crate) key_hash: SecretHash,
    pub(crate) request_id: String,
    pub(crate) now: Duration,
    pub(crate) beginning: Beginning,
    pub(crate) filter: EventFilter,
}
