//! Server-sent events (HTML Living Standard §9.2): a response that never ends by itself.

use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use grantex_core::store::Store;

use super::feed::Next;
use super::{Feed, StreamEnd};

/// The body of a stream.
///
/// Each event is one `data: ` line, which is all that published clients look at, behind an `id:` line, which browsers repeat
/// as `Last-Event-ID`. There is no `event:` line: browsers would no longer call `onmessage`.
pub(crate) struct SseBody<S: Store> {
    feed: Feed<S>,
    /// The position of the last `id:` line; `None` before the first.
    told: Option<i64>,
    is_over: bool,
}

impl<S: Store> SseBody<S> {
    pub(crate) const fn new(feed: Feed<S>) -> Self {
        Self {
            feed,
            told: None,
            is_over: false,
        }
    }

    fn text(&mut self, next: &Next) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = match next {
            Next::Events(events) => events.iter().try_for_each(|event| {
                self.told = Some(event.seq);
                write!(text, "id: {}\ndata: {}\n\n", event.seq, event.payload)
            }),
            // Whoever wants few types must not fall behind what is kept, just because nothing came.
            Next::Beat(position) if self.told != Some(*position) => {
                self.told = Some(*position);
                write!(text, ": keepalive\nid: {position}\n\n")
            }
            Next::Beat(_) => write!(text, ": keepalive\n\n"),
            Next::Probe => write!(text, ":\n\n"),
            Next::End(StreamEnd::Client) => Ok(()),
            Next::End(end) => write!(text, ": ended: {}\n\n", end.as_str()),
        };
        text
    }
}

impl<S: Store> MessageBody for SseBody<S> {
    type Error = actix_web::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let body = self.get_mut();
        if body.is_over {
            return Poll::Ready(None);
        }
        if body.told.is_none() {
            // At once, so that proxies let the answer's head through, and a client that never saw an event can go on too.
            let position = body.feed.position();
            body.told = Some(position);
            return Poll::Ready(Some(Ok(format!(": open\nid: {position}\n\n").into())));
        }
        let next = ready!(body.feed.poll_next(cx));
        body.is_over = matches!(next, Next::End(_));
        let text = body.text(&next);
        Poll::Ready((!text.is_empty()).then(|| Ok(text.into())))
    }
}
