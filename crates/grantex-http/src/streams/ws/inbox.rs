//! From a client's bytes to its messages, in bounded memory.

use actix_http::ws::{CloseCode, OpCode, Parser, ProtocolError};
use actix_web::web::BytesMut;

/// The longest message that a client may send, in bytes: every known type fits several times over.
pub(super) const MAX_MESSAGE: usize = 8 * 1024;
/// The longest head of a client's frame (RFC 6455 §5.2): two bytes, eight of length, four of mask.
const FRAME_HEAD: usize = 14;

/// What a client said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A whole text message.
    Text(String),
    /// A ping, with what is to be repeated.
    Ping(Vec<u8>),
    /// Farewell, with its code.
    Close(Option<CloseCode>),
    /// A pong, a binary message, or a part of a message.
    Other,
}

/// What came from a client and is not understood yet.
#[derive(Default)]
pub(super) struct Inbox {
    bytes: BytesMut,
    message: Option<Message>,
}

/// A message of which more parts are to come.
struct Message {
    is_text: bool,
    bytes: Vec<u8>,
}

impl Inbox {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next thing the client said; `None` when more has to come first.
    ///
    /// # Errors
    /// The code with which the connection must be closed.
    pub(super) fn next(&mut self) -> Result<Option<Said>, CloseCode> {
        let (is_last, opcode, bytes) = match Parser::parse(&mut self.bytes, true, MAX_MESSAGE) {
            Ok(Some(frame)) => frame,
            // The parser would wait for the rest of a frame of any length.
            Ok(None) if self.bytes.len() >= FRAME_HEAD + MAX_MESSAGE => return Err(CloseCode::Size),
            Ok(None) => {
                if self.bytes.is_empty() {
                    // Silent clients cost no buffer.
                    self.bytes = BytesMut::new();
                }
                return Ok(None);
            }
            Err(ProtocolError::Overflow) => return Err(CloseCode::Size),
            Err(_) => return Err(CloseCode::Protocol),
        };
        let bytes = bytes.unwrap_or_default();
        match opcode {
            OpCode::Text | OpCode::Binary => self.begin(opcode == OpCode::Text, is_last, &bytes),
            OpCode::Continue => self.go_on(is_last, &bytes),
            // Control frames are never in parts (RFC 6455 §5.5).
            _ if !is_last => Err(CloseCode::Protocol),
            OpCode::Ping => Ok(Said::Ping(bytes.to_vec())),
            OpCode::Pong => Ok(Said::Other),
            OpCode::Close => match Parser::try_parse_close_payload(&bytes) {
                Ok(reason) => Ok(Said::Close(reason.map(|reason| reason.code))),
                Err(_) => Err(CloseCode::Protocol),
            },
            OpCode::Bad => Err(CloseCode::Protocol),
        }
        .map(Some)
    }

    fn begin(&mut self, is_text: bool, is_last: bool, bytes: &[u8]) -> Result<Said, CloseCode> {
        if self.message.is_some() {
            return Err(CloseCode::Protocol);
        }
        self.message = Some(Message {
            is_text,
            bytes: Vec::new(),
        });
        self.go_on(is_last, bytes)
    }

    fn go_on(&mut self, is_last: bool, bytes: &[u8]) -> Result<Said, CloseCode> {
        let mut message = self.message.take().ok_or(CloseCode::Protocol)?;
        if message.bytes.len() + bytes.len() > MAX_MESSAGE {
            return Err(CloseCode::Size);
        }
        message.bytes.extend_from_slice(bytes);
        if !is_last {
            self.message = Some(message);
            return Ok(Said::Other);
        }
        if !message.is_text {
            return Ok(Said::Other);
        }
        String::from_utf8(message.bytes)
            .map(Said::Text)
            .map_err(|_| CloseCode::Invalid)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: OpCode, is_last: bool, bytes: &[u8]) -> BytesMut {
        let mut frame = BytesMut::new();
        Parser::write_message(&mut frame, bytes, opcode, is_last, true);
        frame
    }

    /// Everything that these bytes say, when they come in pieces of this length.
    fn read(bytes: &[u8], piece: usize) -> Result<Vec<Said>, CloseCode> {
        let (mut inbox, mut said) = (Inbox::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            inbox.add(piece);
            while let Some(next) = inbox.next()? {
                said.push(next);
            }
            assert!(inbox.bytes.len() < FRAME_HEAD + MAX_MESSAGE);
        }
        Ok(said)
    }

    #[test]
    fn messages_are_read_whole_or_in_parts() {
        let bytes = [
            frame(OpCode::Text, true, b"one"),
            frame(OpCode::Text, false, b"t"),
            frame(OpCode::Ping, true, b"there?"),
            frame(OpCode::Continue, false, b"w"),
            frame(OpCode::Continue, true, b"o"),
            frame(OpCode::Binary, true, b"\xff"),
            frame(OpCode::Pong, true, b""),
            frame(OpCode::Text, true, b""),
            frame(OpCode::Close, true, b"\x03\xe8bye"),
        ]
        .concat();
        for piece in [1, 3, 7, bytes.len()] {
            let said = read(&bytes, piece).unwrap();
            let words: Vec<&Said> = said.iter().filter(|said| **said != Said::Other).collect();
            assert_eq!(
                words,
                [
                    &Said::Text("one".into()),
                    &Said::Ping(b"there?".to_vec()),
                    &Said::Text("two".into()),
                    &Said::Text(String::new()),
                    &Said::Close(Some(CloseCode::Normal)),
                ]
            );
        }
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_there() {
        let fitting = frame(OpCode::Text, true, &[b'x'; MAX_MESSAGE]);
        assert_eq!(read(&fitting, 1_000), Ok(vec![Said::Text("x".repeat(MAX_MESSAGE))]));
        let long = frame(OpCode::Text, true, &[b'x'; MAX_MESSAGE + 1]);
        for piece in [1_000, long.len()] {
            assert_eq!(read(&long, piece), Err(CloseCode::Size));
        }
        let endless = frame(OpCode::Binary, true, &vec![0; 1_000_000]);
        assert_eq!(read(&endless, 100), Err(CloseCode::Size));
        let half = [b'x'; MAX_MESSAGE / 2 + 1];
        let parts = [frame(OpCode::Text, false, &half), frame(OpCode::Continue, true, &half)].concat();
        assert_eq!(read(&parts, 1_000), Err(CloseCode::Size));
    }

    #[test]
    fn what_breaks_the_protocol_is_refused() {
        let mut unmasked = BytesMut::new();
        Parser::write_message(&mut unmasked, b"x", OpCode::Text, true, false);
        let started = frame(OpCode::Text, false, b"x");
        for bytes in [
            unmasked.to_vec(),
            [started.clone(), started].concat(),
            frame(OpCode::Continue, true, b"x").to_vec(),
            frame(OpCode::Ping, false, b"x").to_vec(),
            frame(OpCode::Ping, true, &[0; 126]).to_vec(),
            frame(OpCode::Close, true, b"x").to_vec(),
            frame(OpCode::Close, true, &[0x03, 0xed]).to_vec(),
            vec![0xf1, 0x80, 0, 0, 0, 0],
            vec![0x83, 0x80, 0, 0, 0, 0],
        ] {
            assert_eq!(read(&bytes, 100), Err(CloseCode::Protocol), "{bytes:x?}");
        }
        assert_eq!(read(&frame(OpCode::Text, true, b"\xff"), 100), Err(CloseCode::Invalid));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1..50_usize) {
            let whole = read(&bytes, bytes.len().max(1));
            prop_assert_eq!(read(&bytes, piece), whole);
        }
    }
}
