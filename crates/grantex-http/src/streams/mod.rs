//! Event streams: open connections over which developers are told of their events as they happen.
//!
//! The events table is the truth, and a stream is a position in it: what it hands out next is whatever lies behind. Nothing is
//! queued for a stream, so none can be lost or pile up there, and a client that comes back goes on where it was.
//!
//! - [`Streams`] knows which developers have streams here, and how many;
//! - a `Channel` is one developer: it reads new events once for all its streams and keeps them until these have passed;
//! - a `Stream` is one connection as those two see it, a `Feed` as its body does, which pulls when the connection has room;
//! - `sse` and `ws` put what a feed brings into bytes;
//! - [`App::run_streams`](crate::App::run_streams) looks after all of them, and after revocation feeds: it reads, pings, and ends what
//!   must end.

mod channel;
mod feed;
mod hub;
mod run;
pub(crate) mod sse;
mod stream;
pub(crate) mod ws;

pub use grantex_core::event::{StreamEnd, StreamTransport};
pub use hub::Streams;

pub(crate) use feed::Feed;
pub(crate) use hub::{NoSeat, Seat};
pub(crate) use stream::Opening;

use std::num::NonZeroU32;
use std::time::Duration;

/// How often all streams are looked after: pinged, checked, and told of what no signal told of.
pub(crate) const BEAT: Duration = Duration::from_secs(1);
/// How long a client may take nothing although there is something to take.
pub(crate) const STALL: Duration = Duration::from_secs(30);

/// Settings of event streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSettings {
    /// Streams of one kind that a developer may have open at a time, in this process.
    pub per_developer: NonZeroU32,
    /// How long a stream may be silent before it says that it is still there.
    pub keepalive: Duration,
}

impl Default for StreamSettings {
    fn default() -> Self {
        const FIVE: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
        Self {
            per_developer: FIVE,
            keepalive: Duration::from_secs(30),
        }
    }
}

/// What is measured of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamNews {
    /// One was opened.
    Opened(StreamTransport),
    /// One was refused, because the developer has too many.
    Refused(StreamTransport),
    /// So many events were handed to a connection.
    Sent(u64),
    /// One ended.
    Ended(StreamTransport, StreamEnd),
}
