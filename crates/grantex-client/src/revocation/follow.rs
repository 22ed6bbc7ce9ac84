//! The task behind a feed: a snapshot, then changes, then, after whatever went wrong, another snapshot.

use std::sync::Arc;
use std::time::Duration;

use grantex_core::id::Random as _;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::revocation::entries::{Entries, Sent, Unusable};
use crate::revocation::feed::{FeedState, Shared, Transport};
use crate::revocation::sse::{Frame, Parser};
use crate::wire::{Ask, TransportError, chunk, retry_after};

/// Bytes of a page at most: a thousand entries have some 400 KB.
const MAX_PAGE: usize = 4 * 1024 * 1024;
/// Pages of a snapshot at most.
const MAX_PAGES: usize = 10_000;
/// How long an answer to a question may take beyond the time for which the service holds it back.
const POLL_MARGIN: Duration = Duration::from_secs(10);
/// The least time between two questions, for a service that does not hold them back.
const POLL_PAUSE: Duration = Duration::from_millis(200);
/// How often what is over is dropped.
const TIDIED_EACH: Duration = Duration::from_secs(60);
/// The longest pause that a service can ask for.
const LONGEST_WISH: Duration = Duration::from_secs(60);

/// A page of a snapshot, or changes. Something else with status 200, as a gateway may answer, must not pass for an empty page.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    entries: Vec<Sent>,
    #[serde(default)]
    next_page_token: Option<String>,
    cursor: i64,
}

/// What ended an attempt.
struct Ended {
    state: FeedState,
    /// The service asked for a pause.
    wish: Option<Duration>,
}

impl Ended {
    const fn with(state: FeedState) -> Self {
        Self { state, wish: None }
    }
}

impl From<TransportError> for Ended {
    fn from(_: TransportError) -> Self {
        Self::with(FeedState::Network)
    }
}

impl From<Unusable> for Ended {
    fn from(why: Unusable) -> Self {
        Self::with(match why {
            Unusable::TooMany => FeedState::TooMany,
            // It may be any revocation; the next snapshot has it again.
            Unusable::Nameless => FeedState::Network,
        })
    }
}

pub(super) async fn follow(shared: Arc<Shared>) {
    let mut pause = shared.settings.first_pause;
    loop {
        let mut attempt = Attempt {
            shared: &shared,
            was_live: false,
            tidied_at: shared.clock.monotonic(),
        };
        let ended = attempt.run().await;
        shared.enter(ended.state);
        // A service that answers and hangs up at once must not be asked for snapshots without end.
        if attempt.was_live {
            pause = shared.settings.first_pause;
        }
        let wish = ended.wish.unwrap_or_default().min(LONGEST_WISH);
        sleep(shared.shortened(pause).max(wish)).await;
        pause = (pause * 2).min(shared.settings.longest_pause);
    }
}

impl Shared {
    /// A pause of at least half the length, by chance: many clients lose one service at the same moment.
    fn shortened(&self, pause: Duration) -> Duration {
        let mut byte = [0_u8; 1];
        self.random.fill(&mut byte);
        let [byte] = byte;
        pause.mul_f64(0.5 + f64::from(byte) / 512.0)
    }
}

struct Attempt<'a> {
    shared: &'a Shared,
    /// Changes came, or a sign that there are none.
    was_live: bool,
    tidied_at: Duration,
}

impl Attempt<'_> {
    async fn run(&mut self) -> Ended {
        let cursor = match self.snapshot().await {
            Ok(cursor) => cursor,
            Err(ended) => return ended,
        };
        let followed = match self.shared.settings.transport {
            Transport::Stream => self.stream(cursor).await,
            Transport::Poll => self.poll(cursor).await,
        };
        followed.unwrap_or_else(|ended| ended)
    }

    /// Reads all pages into a new set, and puts it in place of the old one. Returns where changes begin: the least of the pages' cursors,
    /// so that nothing is missed if they differ.
    async fn snapshot(&mut self) -> Result<i64, Ended> {
        let shared = self.shared;
        let begun_at = shared.clock.monotonic();
        let mut entries = Entries::new(shared.settings.max_entries);
        let mut cursor: Option<i64> = None;
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let query: Vec<(&str, &str)> = token.iter().map(|token| ("pageToken", token.as_str())).collect();
            let until = Instant::now() + shared.service.deadline();
            let page = self.page(&query, until).await?;
            cursor = Some(cursor.map_or(page.cursor, |least| least.min(page.cursor)));
            let now = shared.clock.now();
            for entry in page.entries {
                entries.apply(entry, now)?;
            }
            token = page.next_page_token;
            if token.is_none() {
                shared.change(|current| {
                    entries.remember_told(current);
                    *current = entries;
                });
                shared.renew(begun_at);
                shared.enter(FeedState::Live);
                return Ok(cursor.unwrap_or(0));
            }
        }
        Err(Ended::with(FeedState::TooMany))
    }

    async fn page(&self, query: &[(&str, &str)], until: Instant) -> Result<Page, Ended> {
        let ask = Ask {
            query,
            ..Ask::get(&["v1", "revocations"])
        };
        let answer = self.shared.service.ask_until(&ask, MAX_PAGE, until).await?;
        self.accept(answer.status, || answer.retry_after(self.now()))?;
        answer.object().ok_or(Ended::with(FeedState::Network))
    }

    fn accept(&self, status: u16, wish: impl FnOnce() -> Option<Duration>) -> Result<(), Ended> {
        let state = match status {
            200 => return Ok(()),
            404 => FeedState::Disabled,
            503 => FeedState::NotReady,
            401 | 403 => FeedState::Unauthorized,
            _ => FeedState::Network,
        };
        Err(Ended {
            wish: wish(),
            ..Ended::with(state)
        })
    }

    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.shared.clock.now().as_millis()).unwrap_or(0))
    }

    /// Asks for changes again and again. The service's cursor is taken as it is, even when entries are ahead of it: it knows what may
    /// still come before them.
    async fn poll(&mut self, mut cursor: i64) -> Result<Ended, Ended> {
        let hold = (self.shared.settings.stale_after / 2)
            .max(Duration::from_secs(1))
            .as_secs();
        loop {
            let asked_at = Instant::now();
            let (since, wait) = (cursor.to_string(), hold.to_string());
            let until = asked_at + Duration::from_secs(hold) + POLL_MARGIN;
            let page = self.page(&[("since", &since), ("wait", &wait)], until).await?;
            let is_news = page.cursor != cursor;
            self.apply(page.entries)?;
            cursor = page.cursor;
            self.is_alive();
            if !is_news && asked_at.elapsed() < POLL_PAUSE {
                sleep(POLL_PAUSE).await;
            }
        }
    }

    async fn stream(&mut self, cursor: i64) -> Result<Ended, Ended> {
        let shared = self.shared;
        let silence = (shared.settings.stale_after * 2).max(Duration::from_secs(1));
        let since = cursor.to_string();
        let query = [("since", since.as_str())];
        let ask = Ask {
            query: &query,
            accept: "text/event-stream",
            ..Ask::get(&["v1", "revocations", "stream"])
        };
        let mut response = shared
            .service
            .open(&ask, Instant::now() + shared.service.deadline())
            .await?;
        self.accept(response.status().as_u16(), || {
            retry_after(response.headers(), self.now())
        })?;
        let mut parser = Parser::default();
        while let Some(piece) = chunk(&mut response, Instant::now() + silence).await? {
            let frames = parser.push(&piece).map_err(|_| Ended::with(FeedState::Network))?;
            for frame in frames {
                self.frame(&frame)?;
            }
        }
        Ok(Ended::with(FeedState::Network))
    }

    /// Comments keep a connection alive and prove nothing: they come without the service having looked.
    fn frame(&mut self, frame: &Frame) -> Result<(), Ended> {
        match frame.event.as_str() {
            // Connecting proves less than staying: see `was_live`.
            "ready" => self.shared.renew(self.shared.clock.monotonic()),
            "heartbeat" => self.is_alive(),
            "revocation" => {
                // An entry that cannot be read may be any; the next snapshot has it again.
                let sent: Sent = serde_json::from_str(&frame.data).map_err(|_| Ended::with(FeedState::Network))?;
                self.apply(vec![sent])?;
                self.is_alive();
            }
            _ => {}
        }
        Ok(())
    }

    fn apply(&self, sent: Vec<Sent>) -> Result<(), Unusable> {
        if sent.is_empty() {
            return Ok(());
        }
        let now = self.shared.clock.now();
        self.shared
            .change(|entries| sent.into_iter().try_for_each(|entry| entries.apply(entry, now)))
    }

    fn is_alive(&mut self) {
        let now = self.shared.clock.monotonic();
        self.was_live = true;
        self.shared.renew(now);
        if now.saturating_sub(self.tidied_at) >= TIDIED_EACH {
            self.tidied_at = now;
            let now = self.shared.clock.now();
            self.shared.change(|entries| entries.forget_ended(now));
        }
    }
}
