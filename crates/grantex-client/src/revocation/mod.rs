//! Finding out what was revoked.
//!
//! | | asks | sees a revocation after | when the service cannot be asked |
//! |---|---|---|---|
//! | [`RevocationFeed`] | nothing per call | about a second, at most [`FeedBuilder::stale_after`] | refuses after that time |
//! | [`OnlineCheck`] | the service, for each call | at once | refuses |
//! | [`RevocationCheck::Offline`] | nothing | never: tokens count until they end | goes on |

mod entries;
mod feed;
mod follow;
mod online;
mod refusals;
mod sse;

pub use feed::{FeedBuilder, FeedState, RevocationFeed, Transport};
pub use online::{OnlineBuilder, OnlineCheck};

use crate::verify::{Opened, VerifyError};

/// How revoked tokens are found out.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum RevocationCheck {
    /// Not at all: a revoked token counts until it ends.
    #[default]
    Offline,
    /// By asking for each call.
    Online(OnlineCheck),
    /// By following what is revoked.
    Feed(RevocationFeed),
}

impl From<OnlineCheck> for RevocationCheck {
    fn from(check: OnlineCheck) -> Self {
        Self::Online(check)
    }
}

impl From<RevocationFeed> for RevocationCheck {
    fn from(feed: RevocationFeed) -> Self {
        Self::Feed(feed)
    }
}

impl RevocationCheck {
    pub(crate) async fn check(&self, opened: &Opened, token: &str) -> Result<(), VerifyError> {
        match self {
            Self::Offline => Ok(()),
            Self::Online(online) => online.check(opened, token).await,
            Self::Feed(feed) => feed.check(opened).await,
        }
    }
}
