//! The revocation feed over HTTP: who follows it here, and what they are told.
//!
//! The table of revocations is the truth, and whoever follows is a position in it. A follower pulls: it reads what lies behind its
//! position when it is told of something, from a read that it shares with those who stand where it does. Once in a while
//! ([`FeedSettings::heartbeat`]) one look asks the store how far the feeds of all who follow go; only a look that succeeded makes
//! heartbeats, so that a client that gets one knows that nothing was withheld from it.
//!
//! - [`Followers`] knows which developers have followers in this process, and how many;
//! - a `Channel` is one developer's feed, a `Follower` one stream, a `FeedBody` its answer;
//! - `heads` signs how far a feed goes, `refusals` bounds what clients report of it, `wire` puts all into bytes.

mod body;
mod channel;
mod followers;
mod heads;
mod refusals;
mod run;
pub(crate) mod wire;

pub use followers::Followers;

pub(crate) use body::FeedBody;
pub(crate) use channel::FollowerOpening;
pub(crate) use followers::Kind;

use std::num::NonZeroU32;
use std::time::Duration;

use grantex_core::event::StreamEnd;

/// How old a look may be of which a heartbeat tells, and how long one may take.
pub(crate) const FRESH: Duration = Duration::from_secs(2);

/// Settings of the revocation feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedSettings {
    /// Whether there is one.
    pub is_enabled: bool,
    /// How often it is looked at, and streams are told so. Clients take a feed for stale after five seconds of silence.
    pub heartbeat: Duration,
    /// Streams that a developer may have open at a time, in this process; as many questions may wait for news besides.
    pub per_developer: NonZeroU32,
}

impl Default for FeedSettings {
    fn default() -> Self {
        const MANY: NonZeroU32 = NonZeroU32::MIN.saturating_add(199);
        Self {
            is_enabled: true,
            heartbeat: Duration::from_secs(1),
            per_developer: MANY,
        }
    }
}

/// What is measured of the revocation feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedNews {
    /// A stream was opened.
    Opened,
    /// A stream was refused, because the developer has too many.
    Refused,
    /// So many entries were handed to a connection.
    Sent(u64),
    /// A stream ended.
    Ended(StreamEnd),
    /// The feed could not be read.
    ReadFailed,
    /// A client told how long it took from a revocation to its first refusal.
    Propagated(Duration),
}
