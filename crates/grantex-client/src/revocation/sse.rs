//! Server-sent events, as far as the feed uses them: lines of `event:` and `data:`, a blank line ends a frame.
//!
//! Comments, `id:`, `retry:` and unknown fields are passed over. Several `data:` lines are joined without anything between.

/// The longest line, and the most data of a frame, in bytes. A revocation has some 400.
pub(crate) const LIMIT: usize = 64 * 1024;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) event: String,
    pub(crate) data: String,
}

/// A line or a frame is longer than [`LIMIT`], or is no UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// Reads a stream that comes in pieces of any length.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    frame: Frame,
}

impl Parser {
    /// Takes the next piece; gives the frames that it completes.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<Vec<Frame>, Unreadable> {
        let mut frames = Vec::new();
        let mut lines = piece.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = lines.next() {
            if self.line.len() + part.len() > LIMIT {
                return Err(Unreadable);
            }
            self.line.extend_from_slice(part);
            // What follows the last line feed is the beginning of a line.
            if lines.peek().is_some() {
                let line = std::mem::take(&mut self.line);
                frames.extend(self.end_line(line.strip_suffix(b"\r").unwrap_or(&line))?);
            }
        }
        Ok(frames)
    }

    fn end_line(&mut self, line: &[u8]) -> Result<Option<Frame>, Unreadable> {
        if line.is_empty() {
            let frame = std::mem::take(&mut self.frame);
            return Ok((frame != Frame::default()).then_some(frame));
        }
        let line = std::str::from_utf8(line).map_err(|_| Unreadable)?;
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.frame.event),
            "data" if self.frame.data.len() + value.len() > LIMIT => return Err(Unreadable),
            "data" => self.frame.data.push_str(value),
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(event: &str, data: &str) -> Frame {
        Frame {
            event: event.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn frames_are_read_in_every_spelling() {
        let stream = "\n: hello\nevent: ready\ndata: {\"cursor\":1}\n\nevent:revocation\r\nid: 7\r\nretry: 10\r\ndata:{\"a\":\r\ndata: 1}\r\n\r\n: ping\n\ndata: x";
        let mut parser = Parser::default();
        let frames = parser.push(stream.as_bytes()).unwrap();
        assert_eq!(
            frames,
            [frame("ready", "{\"cursor\":1}"), frame("revocation", "{\"a\":1}")]
        );
        assert_eq!(parser.push(b"\n\n").unwrap(), [frame("", "x")]);
    }

    #[test]
    fn a_comment_is_no_frame() {
        assert_eq!(Parser::default().push(b":\n\n: x\n\nid: 1\n\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&[b'x'; LIMIT]), Ok(Vec::new()));
        assert_eq!(parser.push(b"x"), Err(Unreadable));
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "x".repeat(LIMIT / 2));
        assert_eq!(parser.push(line.as_bytes()), Ok(Vec::new()));
        assert_eq!(parser.push(line.as_bytes()), Ok(Vec::new()));
        assert_eq!(parser.push(line.as_bytes()), Err(Unreadable));
        assert_eq!(Parser::default().push(b"data: \xff\n"), Err(Unreadable));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            frames in prop::collection::vec(("[a-z]{1,9}", "[^\r\n\u{0}]{1,30}"), 0..6),
            cuts in prop::collection::vec(0_usize..300, 0..9),
            crlf: bool,
        ) {
            let end = if crlf { "\r\n" } else { "\n" };
            let expected: Vec<Frame> = frames.iter().map(|(event, data)| frame(event, data)).collect();
            let text: String = frames.iter().map(|(event, data)| format!("event: {event}{end}data: {data}{end}{end}")).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let mut found = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                found.extend(parser.push(&text.as_bytes()[from..cut]).unwrap());
                from = cut;
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_bytes_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..9)) {
            let mut parser = Parser::default();
            for piece in pieces {
                if parser.push(&piece).is_err() {
                    break;
                }
            }
        }
    }
}
