//! What a stream's body pulls from: its events in order, and everything else that it has to say.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::web::Data;
use futures_util::future::LocalBoxFuture;
use grantex_core::error::{StoreError, chain};
use grantex_core::event::filter::EventFilter;
use grantex_core::store::{Store, StoredEvent};

use super::channel::{Behind, Channel};
use super::stream::{Opening, State, Stream};
use super::{Seat, StreamEnd, StreamNews, StreamTransport};
use crate::app::App;

/// Events that a stream reads for itself at a time.
const CATCH_UP: u32 = 128;
/// How often a connection that may be dead is written to until it is taken for alive: the first write makes the other side
/// say that it is gone, the second one hears of it.
const PROBES: u8 = 2;
/// How often a client may make us wonder whether it is there.
const PROBE_PAUSE: Duration = Duration::from_secs(5);

type Reading = LocalBoxFuture<'static, Result<Vec<StoredEvent>, StoreError>>;

/// An open stream. Dropping it ends it.
pub(crate) struct Feed<S: Store> {
    app: Data<App<S>>,
    channel: Arc<Channel>,
    stream: Arc<Stream>,
    /// A read of what the channel does not keep.
    reading: Option<Reading>,
    probed_at: Option<Duration>,
}

/// What a feed brings.
pub(super) enum Next {
    /// Events, in order; never none.
    Events(Vec<Arc<StoredEvent>>),
    /// The stream was silent for long, up to this position.
    Beat(i64),
    /// The other side may be gone.
    Probe,
    /// This was all. Brought again whenever it is asked for.
    End(StreamEnd),
}

impl<S: Store> Feed<S> {
    /// Opens a stream in a seat. `None` when the server began to shut down meanwhile.
    pub(crate) fn open(app: Data<App<S>>, seat: Seat, opening: Opening) -> Option<Self> {
        let transport = opening.transport;
        let (channel, stream) = seat.open(opening)?;
        app.observer.stream(StreamNews::Opened(transport));
        Some(Self {
            app,
            channel,
            stream,
            reading: None,
            probed_at: None,
        })
    }

    /// The event behind which the stream goes on.
    pub(super) fn position(&self) -> i64 {
        self.stream.state().position
    }

    /// From the next event on, only these are wanted.
    pub(super) fn set_filter(&self, filter: EventFilter) {
        self.stream.state().filter = filter;
    }

    /// The time by which streams go.
    pub(super) fn now(&self) -> Duration {
        self.app.grantex.clock().monotonic()
    }

    /// Ends the stream.
    pub(super) fn end(&self, end: StreamEnd) {
        self.app.end_stream(&self.channel, &self.stream, end);
    }

    /// The next thing to say.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let next = self.look(cx);
        let mut state = self.stream.state();
        if next.is_pending() {
            state.wait(cx);
            // Somebody may have called since the look.
            if state.is_called {
                cx.waker().wake_by_ref();
            }
        } else {
            state.take(self.app.grantex.clock().monotonic());
        }
        next
    }

    fn look(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let was_called = {
            let mut state = self.stream.state();
            let was_called = std::mem::take(&mut state.is_called);
            if let Some(end) = state.ended {
                self.reading = None;
                return Poll::Ready(Next::End(end));
            }
            was_called
        };
        if let Some(reading) = &mut self.reading {
            let read = ready!(reading.as_mut().poll(cx));
            self.reading = None;
            return self.caught_up(read);
        }
        let now = self.now();
        let mut state = self.stream.state();
        loop {
            match self.channel.behind(state.position) {
                Behind::Nothing => break,
                Behind::Events(events) => {
                    let events = pass(&mut state, events);
                    if !events.is_empty() {
                        drop(state);
                        return Poll::Ready(self.hand_out(events));
                    }
                }
                Behind::TooMuch => {
                    let position = state.position;
                    // The read begins with the next poll.
                    state.is_called = true;
                    drop(state);
                    self.reading = Some(self.read_behind(position));
                    return Poll::Pending;
                }
            }
        }
        if std::mem::take(&mut state.is_beat_due) {
            return Poll::Ready(Next::Beat(state.position));
        }
        // Nobody called, so it was the connection: most likely because the client closed it. The server can still write to
        // it then, as far as it knows, and hears of the truth only when it does.
        let is_suspicious = self.stream.transport == StreamTransport::Sse && state.is_waiting && !was_called;
        if is_suspicious && self.probed_at.is_none_or(|at| now.saturating_sub(at) >= PROBE_PAUSE) {
            self.probed_at = Some(now);
            state.probes = PROBES;
        } else if !was_called {
            return Poll::Pending;
        }
        if state.probes > 0 {
            state.probes -= 1;
            return Poll::Ready(Next::Probe);
        }
        Poll::Pending
    }

    fn read_behind(&self, position: i64) -> Reading {
        let (app, developer) = (self.app.clone(), self.channel.developer.clone());
        Box::pin(async move {
            let read = app.grantex.events_after(&developer, position, CATCH_UP);
            match tokio::time::timeout(app.settings.request_deadline, read).await {
                Ok(read) => read,
                Err(elapsed) => Err(StoreError::unavailable(elapsed)),
            }
        })
    }

    fn caught_up(&self, read: Result<Vec<StoredEvent>, StoreError>) -> Poll<Next> {
        let events = match read {
            Ok(events) => events,
            Err(error) => {
                slog::error!(self.app.logger, "event_stream.read_failed";
                    "requestId" => &*self.stream.request_id, "error" => chain(&error));
                return self.give_up(StreamEnd::Error);
            }
        };
        let mut state = self.stream.state();
        if !is_whole(state.position, &events) {
            drop(state);
            return self.give_up(StreamEnd::Expired);
        }
        let events = pass(&mut state, events.into_iter().map(Arc::new).collect());
        if events.is_empty() {
            // There may be millions that nobody wants; others are served in between.
            state.is_called = true;
            return Poll::Pending;
        }
        drop(state);
        Poll::Ready(self.hand_out(events))
    }

    fn give_up(&self, end: StreamEnd) -> Poll<Next> {
        self.end(end);
        Poll::Ready(Next::End(end))
    }

    fn hand_out(&self, events: Vec<Arc<StoredEvent>>) -> Next {
        let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
        self.app.observer.stream(StreamNews::Sent(count));
        Next::Events(events)
    }
}

/// Whether nothing is missing between a position and events that were read behind it. There were some when it was left
/// behind, so none at all is a gap too.
fn is_whole(position: i64, events: &[StoredEvent]) -> bool {
    !events.is_empty() && (position + 1..).zip(events).all(|(seq, event)| event.seq == seq)
}

/// Goes past events and keeps those that are wanted.
fn pass(state: &mut State, mut events: Vec<Arc<StoredEvent>>) -> Vec<Arc<StoredEvent>> {
    if let Some(last) = events.last() {
        state.position = last.seq;
    }
    events.retain(|event| state.filter.admits(&event.kind));
    state.sent += u64::try_from(events.len()).unwrap_or(u64::MAX);
    events
}

impl<S: Store> Drop for Feed<S> {
    fn drop(&mut self) {
        self.end(StreamEnd::Client);
    }
}
