//! Server-sent events (WHATWG HTML §9.2.6): from bytes to messages.

/// The longest line that is read; this service's events are far shorter.
const LONGEST_LINE: usize = 4 << 20;

/// What a stream brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// An event's data, and how far the stream is with it.
    Event {
        /// The text of its `data` lines.
        data: String,
        /// The last `id` so far.
        position: Option<String>,
    },
    /// How far the stream is, without an event.
    Position(String),
    /// A comment.
    Comment(String),
}

/// A line was longer than is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Reads a stream, whose bytes come in parts of any size.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    is_after_return: bool,
    data: Option<String>,
    id: Option<String>,
    is_moved: bool,
}

impl Reader {
    /// The messages that are complete with these bytes.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut messages = Vec::new();
        for byte in bytes {
            let is_second = *byte == b'\n' && self.is_after_return;
            self.is_after_return = *byte == b'\r';
            match byte {
                b'\n' if is_second => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    messages.extend(self.end_of(&String::from_utf8_lossy(&line)));
                }
                byte if self.line.len() < LONGEST_LINE => self.line.push(*byte),
                _ => return Err(TooLong),
            }
        }
        Ok(messages)
    }

    fn end_of(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let is_moved = std::mem::take(&mut self.is_moved);
            return match self.data.take() {
                Some(data) => Some(Message::Event {
                    data,
                    position: self.id.clone(),
                }),
                None => self.id.clone().filter(|_| is_moved).map(Message::Position),
            };
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => return Some(Message::Comment(value.to_owned())),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => {
                self.id = Some(value.to_owned());
                self.is_moved = true;
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = ": open\nid: 41\n\nid: 42\r\ndata: {\"a\":1}\r\n\r\nevent: x\rdata:one\rdata:  two\r\r: keepalive\n\ndata: half";

    fn messages() -> Vec<Message> {
        let event = |data: &str, position: &str| Message::Event {
            data: data.to_owned(),
            position: Some(position.to_owned()),
        };
        vec![
            Message::Comment("open".to_owned()),
            Message::Position("41".to_owned()),
            event("{\"a\":1}", "42"),
            event("one\n two", "42"),
            Message::Comment("keepalive".to_owned()),
        ]
    }

    #[test]
    fn half_a_message_does_not_count() {
        assert_eq!(Reader::default().read(STREAM.as_bytes()), Ok(messages()));
    }

    #[test]
    fn lines_without_an_end_are_refused() {
        assert_eq!(Reader::default().read(&vec![b'a'; LONGEST_LINE + 1]), Err(TooLong));
    }

    proptest! {
        #[test]
        fn parts_of_any_size_give_the_same_messages(cuts in proptest::collection::vec(0..STREAM.len(), 0..8)) {
            let mut reader = Reader::default();
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (mut from, mut read) = (0, Vec::new());
            for cut in cuts.into_iter().chain([STREAM.len()]) {
                read.extend(reader.read(&STREAM.as_bytes()[from..cut]).unwrap());
                from = cut;
            }
            prop_assert_eq!(read, messages());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Reader::default().read(&bytes);
        }
    }
}
