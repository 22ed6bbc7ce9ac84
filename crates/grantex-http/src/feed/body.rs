//! A stream's body: it is asked for more whenever the connection has room, and then takes what lies behind its position.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::{Bytes, Data};
use futures_util::stream::{LocalBoxStream, StreamExt as _, unfold};
use grantex_core::event::StreamEnd;
use grantex_core::revocation::feed::FeedChanges;
use grantex_core::store::Store;
use tokio::sync::watch;

use super::channel::{Channel, Follower, FollowerOpening, Seen};
use super::followers::Seat;
use super::wire::{Entry, Heartbeat, Ready, frame};
use super::{FRESH, FeedNews};
use crate::app::App;

/// Entries that are put into the connection's buffer at a time.
const BATCH: usize = 64;

/// An open stream. Dropping it ends it.
pub(crate) struct FeedBody<S: Store> {
    app: Data<App<S>>,
    channel: Arc<Channel>,
    follower: Arc<Follower>,
    pieces: LocalBoxStream<'static, Bytes>,
}

impl<S: Store> FeedBody<S> {
    /// Opens a stream behind a position, with what was read from there. `None` when the server began to shut down meanwhile.
    pub(crate) fn open(
        app: Data<App<S>>,
        seat: Seat,
        opening: FollowerOpening,
        since: i64,
        first: FeedChanges,
    ) -> Option<Self> {
        let seen = seat.channel().seen();
        let (channel, follower) = seat.open(opening)?;
        app.observer.revocation_feed(FeedNews::Opened);
        let source = Source {
            app: app.clone(),
            channel: Arc::clone(&channel),
            follower: Arc::clone(&follower),
            seen,
            ended: follower.ended(),
            position: since,
            batch: Some((Arc::new(first), 0)),
            overtold: 0,
            beat: None,
            told_head: None,
            has_begun: false,
            is_over: false,
        };
        Some(Self {
            app,
            channel,
            follower,
            pieces: unfold(source, Source::piece).boxed_local(),
        })
    }
}

impl<S: Store> MessageBody for FeedBody<S> {
    type Error = actix_web::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let body = self.get_mut();
        let next = body.pieces.poll_next_unpin(cx);
        body.follower
            .asked(next.is_ready(), body.app.grantex.clock().monotonic());
        Poll::Ready(ready!(next).map(Ok))
    }
}

impl<S: Store> Drop for FeedBody<S> {
    fn drop(&mut self) {
        self.app
            .end_feed_stream(&self.channel, &self.follower, StreamEnd::Client);
    }
}

/// Where the pieces come from.
struct Source<S: Store> {
    app: Data<App<S>>,
    channel: Arc<Channel>,
    follower: Arc<Follower>,
    seen: watch::Receiver<Seen>,
    ended: watch::Receiver<Option<StreamEnd>>,
    /// Everything up to here has been told.
    position: i64,
    /// What was read, and how much of it was told.
    batch: Option<(Arc<FeedChanges>, usize)>,
    /// Somebody told of a position this far that the feed does not reach.
    overtold: i64,
    /// The look of which the last heartbeat told.
    beat: Option<Duration>,
    /// The signed head that was told last.
    told_head: Option<Arc<str>>,
    has_begun: bool,
    is_over: bool,
}

impl<S: Store> Source<S> {
    async fn piece(mut self) -> Option<(Bytes, Self)> {
        if self.is_over {
            return None;
        }
        let text = self.next().await;
        Some((text.into(), self))
    }

    async fn next(&mut self) -> String {
        loop {
            let end = *self.ended.borrow_and_update();
            if let Some(end) = end {
                self.is_over = true;
                return format!(": ended: {}\n\n", end.as_str());
            }
            if !self.has_begun {
                self.has_begun = true;
                if let Some(text) = self.ready() {
                    return text;
                }
                // Without a signature there is no head to tell, and no stream: its client asks again.
                self.app
                    .end_feed_stream(&self.channel, &self.follower, StreamEnd::Error);
                continue;
            }
            let seen = self.seen.borrow_and_update().clone();
            if let Some(text) = self.batch(&seen) {
                return text;
            }
            if seen.told > self.position && seen.told > self.overtold {
                match self.app.shared_changes(&self.channel, self.position, seen.told).await {
                    Ok(changes) => {
                        if changes.cursor < seen.told && changes.cursor >= changes.head.seq {
                            self.overtold = seen.told;
                        }
                        self.batch = Some((changes, 0));
                        continue;
                    }
                    // No heartbeat either: the next look that succeeds has this tried again.
                    Err(error) => self.app.report_failed_feed(&error),
                }
            } else if let Some(text) = self.heartbeat(&seen) {
                return text;
            }
            tokio::select! {
                _ = self.seen.changed() => {}
                _ = self.ended.changed() => {}
            }
        }
    }

    fn ready(&mut self) -> Option<String> {
        let (changes, _) = self.batch.as_ref()?;
        let head = self.app.signed_head(&self.channel.developer, &changes.head).ok()?;
        let text = frame(
            "ready",
            &Ready {
                cursor: self.position,
                server_time: self.app.grantex.now(),
                head: &head,
            },
        );
        self.told_head = Some(head);
        Some(text)
    }

    /// The next entries of what was read. If there is something newer, all that was not told is read anew: it may not be the latest.
    fn batch(&mut self, seen: &Seen) -> Option<String> {
        let (changes, told) = self.batch.take()?;
        let is_old = seen.told > changes.cursor && seen.told > self.overtold;
        if is_old && told > 0 {
            return None;
        }
        let entries = changes.entries.get(told..).unwrap_or_default();
        let mut text = String::new();
        let mut count = 0;
        for entry in entries.iter().take(BATCH) {
            text.push_str(&frame("revocation", &Entry::of(entry, false)));
            self.position = entry.seq;
            count += 1;
        }
        if told + count < changes.entries.len() {
            self.batch = Some((changes, told + count));
        } else {
            self.position = changes.cursor.max(self.position);
        }
        if count == 0 {
            return None;
        }
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.follower.sent.fetch_add(count, Ordering::Relaxed);
        self.app.observer.revocation_feed(FeedNews::Sent(count));
        Some(text)
    }

    /// Tells of a look that succeeded, once, while it is fresh and nothing that it found is untold.
    fn heartbeat(&mut self, seen: &Seen) -> Option<String> {
        let look = seen.look.as_ref()?;
        let age = self.app.grantex.clock().monotonic().saturating_sub(look.began);
        let is_due = self.beat.is_none_or(|beat| look.began > beat) && age <= FRESH && look.head.seq <= self.position;
        if !is_due {
            return None;
        }
        self.beat = Some(look.began);
        let head = self.app.signed_head(&self.channel.developer, &look.head).ok();
        let news = head.filter(|head| self.told_head.as_ref() != Some(head));
        let text = frame(
            "heartbeat",
            &Heartbeat {
                cursor: self.position,
                fresh_at: look.at,
                head: news.as_deref(),
            },
        );
        self.told_head = news.or_else(|| self.told_head.take());
        Some(text)
    }
}
