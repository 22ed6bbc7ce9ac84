//! A webhook receiver that takes everything: it answers 200 and remembers when which event came first.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::clock::epoch_millis;
use crate::error::BenchError;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// What came so far.
#[derive(Default)]
struct Taken {
    events: HashSet<String>,
    requests: u64,
    /// Milliseconds from an event to its first arrival.
    latencies: Option<Histogram<u64>>,
}

/// Listens on a port of its own until the process ends.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    taken: Rc<RefCell<Taken>>,
}

impl Receiver {
    /// Begins to listen. Connections are served by tasks of the thread's own set.
    pub async fn start() -> Result<Self, BenchError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(BenchError::Runtime)?;
        let port = listener.local_addr().map_err(BenchError::Runtime)?.port();
        let receiver = Self {
            url: format!("http://127.0.0.1:{port}/hook"),
            taken: Rc::default(),
        };
        let accepting = receiver.clone();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(serve(stream, accepting.clone()));
            }
        });
        Ok(receiver)
    }

    /// Distinct events, and requests in all.
    pub fn counts(&self) -> (u64, u64) {
        let taken = self.taken.borrow();
        (u64::try_from(taken.events.len()).unwrap_or(u64::MAX), taken.requests)
    }

    /// Forgets what came, and from now on measures how old events are when they first arrive.
    pub fn measure(&self) {
        *self.taken.borrow_mut() = Taken {
            latencies: Histogram::new(3).ok(),
            ..Taken::default()
        };
    }

    /// The age of events at their first arrival that this share of them did not exceed.
    pub fn latency(&self, share: f64) -> Duration {
        let taken = self.taken.borrow();
        let millis = taken.latencies.as_ref().map_or(0, |all| all.value_at_quantile(share));
        Duration::from_millis(millis)
    }

    fn take(&self, body: &str) {
        let mut taken = self.taken.borrow_mut();
        taken.requests += 1;
        let (Some(id), Some(created)) = (member(body, "id"), member(body, "createdAt")) else {
            return;
        };
        if !taken.events.insert(id.to_owned()) {
            return;
        }
        if let (Some(latencies), Some(created)) = (taken.latencies.as_mut(), millis_of(created)) {
            // The histogram grows with what it is given.
            let _ = latencies.record(u64::try_from(epoch_millis() - created).unwrap_or(0));
        }
    }
}

async fn serve(mut stream: TcpStream, receiver: Receiver) {
    let _ = stream.set_nodelay(true);
    let (mut buffer, mut chunk) = (Vec::with_capacity(4_096), vec![0; 16_384]);
    loop {
        while let Some((head, total)) = whole(&buffer) {
            let body = buffer.get(head..total).unwrap_or_default();
            receiver.take(&String::from_utf8_lossy(body));
            buffer.drain(..total);
            if stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => buffer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            _ => return,
        }
    }
}

/// Where the body of the first request begins and ends, once all of it is there.
fn whole(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(buffer.get(..head)?).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    })?;
    (buffer.len() >= head + length).then_some((head, head + length))
}

/// A text member of a compact envelope; the first one with this name is the envelope's own or the event's id.
fn member<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

/// `2030-01-02T03:04:05.006Z` in milliseconds since the epoch (days from civil, proleptic Gregorian).
fn millis_of(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = ((days * 24 + number(11, 13)?) * 60 + number(14, 16)?) * 60 + number(17, 19)?;
    Some(seconds * 1_000 + number(20, 23)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_when_its_body_is() {
        let request = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(whole(request), Some((38, 43)));
        assert_eq!(whole(&request[..42]), None);
        assert_eq!(whole(&request[..20]), None);
        assert_eq!(
            whole(b"POST / HTTP/1.1\r\n\r\n"),
            None,
            "without a length nothing is known"
        );
    }

    #[test]
    fn an_envelope_tells_its_id_and_time() {
        let body = r#"{"createdAt":"2030-01-02T03:04:05.006Z","data":{"grantId":"grnt_1"},"id":"evt_1","type":"x"}"#;
        assert_eq!(member(body, "id"), Some("evt_1"));
        assert_eq!(member(body, "createdAt").and_then(millis_of), Some(1_893_553_445_006));
        assert_eq!(millis_of("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(millis_of("2024-02-29T12:00:00.500Z"), Some(1_709_208_000_500));
        assert_eq!(millis_of("soon"), None);
    }
}
