//! WebSocket (RFC 6455): the same stream in frames, with a client that may change what it wants.

mod inbox;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_http::ws::{CloseCode, CloseReason, OpCode, Parser};
use actix_web::body::{BodySize, MessageBody};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::Stream as _;
use grantex_core::event::filter::EventFilter;
use grantex_core::store::Store;
use serde::Deserialize;

use super::feed::Next;
use super::{Feed, StreamEnd};
use inbox::{Inbox, Said};

/// The body of an upgraded connection: reads what the client sends, and gives what it is to be sent.
///
/// Every event is one text frame that holds the envelope. What the client sends is read first, so that a filter that follows
/// right after the handshake holds for the first event.
pub(crate) struct WsBody<S: Store> {
    feed: Feed<S>,
    payload: Payload,
    inbox: Inbox,
    /// Whether anything came since the last ping.
    is_answered: bool,
    is_over: bool,
}

/// The only message that means something: from now on only these types are wanted.
#[derive(Deserialize)]
struct Wanted {
    types: Vec<String>,
}

impl<S: Store> WsBody<S> {
    pub(crate) fn new(feed: Feed<S>, payload: Payload) -> Self {
        Self {
            feed,
            payload,
            inbox: Inbox::default(),
            is_answered: true,
            is_over: false,
        }
    }

    /// Reads what came; answers go to `out`.
    fn listen(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) {
        while let Poll::Ready(came) = Pin::new(&mut self.payload).poll_next(cx) {
            let Some(Ok(bytes)) = came else {
                // The connection is gone: there is nobody to say goodbye to.
                return self.leave();
            };
            self.is_answered = true;
            self.inbox.add(&bytes);
            loop {
                match self.inbox.next() {
                    Ok(Some(said)) => self.hear(said, out),
                    Ok(None) => break,
                    Err(code) => self.close(out, code, problem(code)),
                }
                if self.is_over {
                    return;
                }
            }
        }
    }

    fn hear(&mut self, said: Said, out: &mut BytesMut) {
        match said {
            Said::Text(text) => {
                // Anything else means nothing here; published servers ignore it as well.
                let Ok(Wanted { types }) = serde_json::from_str(&text) else {
                    return;
                };
                match EventFilter::parse(types.iter().map(String::as_str)) {
                    Ok(filter) => self.feed.set_filter(filter),
                    // To go on with the old filter would be a lie.
                    Err(_) => self.close(out, CloseCode::Policy, "types must name event types"),
                }
            }
            Said::Ping(bytes) => Parser::write_message(out, bytes, OpCode::Pong, true, false),
            Said::Close(code) => {
                Parser::write_close(out, code.map(CloseReason::from), false);
                self.leave();
            }
            Said::Other => {}
        }
    }

    /// Closes what the client broke.
    fn close(&mut self, out: &mut BytesMut, code: CloseCode, reason: &str) {
        Parser::write_close(out, Some((code, reason).into()), false);
        self.leave();
    }

    fn leave(&mut self) {
        self.feed.end(StreamEnd::Client);
        self.is_over = true;
    }

    fn tell(&mut self, next: &Next, out: &mut BytesMut) {
        match next {
            Next::Events(events) => {
                for event in events {
                    Parser::write_message(out, &event.payload, OpCode::Text, true, false);
                }
            }
            Next::Beat(_) if self.is_answered => {
                self.is_answered = false;
                Parser::write_message(out, b"", OpCode::Ping, true, false);
            }
            // Not even the last ping was answered.
            Next::Beat(_) => self.leave(),
            Next::Probe => {}
            Next::End(end) => {
                self.is_over = true;
                if let Some(code) = close_code(*end) {
                    Parser::write_close(out, Some((code, end.as_str()).into()), false);
                }
            }
        }
    }
}

impl<S: Store> MessageBody for WsBody<S> {
    type Error = actix_web::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let body = self.get_mut();
        if body.is_over {
            return Poll::Ready(None);
        }
        let mut out = BytesMut::new();
        body.listen(cx, &mut out);
        if out.is_empty() && !body.is_over {
            let next = ready!(body.feed.poll_next(cx));
            body.tell(&next, &mut out);
        }
        Poll::Ready((!out.is_empty()).then(|| Ok(out.freeze())))
    }
}

/// What the client is told when a stream ends for a reason that is not its own.
const fn close_code(end: StreamEnd) -> Option<CloseCode> {
    match end {
        StreamEnd::Client => None,
        StreamEnd::Draining => Some(CloseCode::Away),
        StreamEnd::Slow | StreamEnd::KeyChanged | StreamEnd::Expired => Some(CloseCode::Policy),
        StreamEnd::Error => Some(CloseCode::Error),
    }
}

const fn problem(code: CloseCode) -> &'static str {
    match code {
        CloseCode::Size => "a message may hold at most 8192 bytes",
        CloseCode::Invalid => "a text message must be UTF-8",
        _ => "the frame breaks the protocol",
    }
}
