//! Receivers that do with a connection whatever a test says.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{AMPLE, HOST};

/// A request as it arrived.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// `POST /hook HTTP/1.1`.
    pub line: String,
    /// Header lines, names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body, by `content-length`.
    pub body: String,
}

impl Request {
    /// The only value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} twice");
        value
    }
}

/// A listener on 127.0.0.1. It ends with its test.
pub struct Receiver {
    pub address: SocketAddr,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
    notes: UnboundedReceiver<Note>,
    task: JoinHandle<()>,
}

/// What a connection has to say to its test.
#[derive(Debug, PartialEq, Eq)]
pub enum Note {
    /// A request was read.
    Read(Request),
    /// The sender closed the connection after this many bytes were written to it.
    Closed(usize),
    /// Anything else.
    Said(String),
}

/// A connection in the hands of a test.
pub struct Connection<S = TcpStream> {
    pub stream: S,
    pub notes: UnboundedSender<Note>,
}

impl Receiver {
    /// Starts to listen; `serve` runs for each connection.
    pub async fn start<F, R>(serve: F) -> Self
    where
        F: Fn(Connection) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peers = Arc::new(Mutex::new(Vec::new()));
        let (sender, notes) = unbounded_channel();
        let list = Arc::clone(&peers);
        let task = tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                list.lock().unwrap().push(peer);
                let notes = sender.clone();
                tokio::spawn(serve(Connection { stream, notes }));
            }
        });
        Self {
            address,
            peers,
            notes,
            task,
        }
    }

    /// Answers each request of each connection with these bytes.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |mut connection| {
            let answer = Arc::clone(&answer);
            async move {
                while connection.read().await.is_some() {
                    if connection.stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Answers the first request of each connection with these bytes, and closes it.
    pub async fn answering_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |mut connection| {
            let answer = Arc::clone(&answer);
            async move {
                connection.read().await;
                let _ = connection.stream.write_all(&answer).await;
                let _ = connection.stream.shutdown().await;
            }
        })
        .await
    }

    /// Reads one request, and then writes `start` and `more`, again and again, until the sender closes the connection.
    pub async fn flooding(start: &'static [u8], more: &'static [u8]) -> Self {
        Self::start(move |mut connection| async move {
            connection.read().await;
            let mut written = 0;
            let mut part = start;
            while connection.stream.write_all(part).await.is_ok() {
                written += part.len();
                part = more;
            }
            connection.note(Note::Closed(written));
        })
        .await
    }

    /// The URL of a path, by name.
    pub fn url(&self, path: &str) -> String {
        format!("http://{HOST}:{}{path}", self.address.port())
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.peers.lock().unwrap().len()
    }

    /// Asserts that nobody has connected. Connections are accepted in the order in which they come, so that ours is the first.
    pub async fn assert_untouched(&self) {
        let own = TcpStream::connect(self.address).await.unwrap();
        let own = own.local_addr().unwrap();
        while self.connections() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*self.peers.lock().unwrap(), [own]);
    }

    /// The next thing that a connection has to say.
    pub async fn note(&mut self) -> Note {
        timeout(AMPLE, self.notes.recv())
            .await
            .expect("a note in time")
            .unwrap()
    }

    /// The next request.
    pub async fn request(&mut self) -> Request {
        match self.note().await {
            Note::Read(request) => request,
            other => panic!("{other:?} instead of a request"),
        }
    }

    /// Skips requests, up to the moment at which the sender closed a connection.
    pub async fn closed(&mut self) -> usize {
        loop {
            if let Note::Closed(written) = self.note().await {
                return written;
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Tells the test something. It may have ended already.
    pub fn note(&self, note: Note) {
        let _ = self.notes.send(note);
    }

    /// Reads a request and notes it; `None` when the connection ends first.
    pub async fn read(&mut self) -> Option<()> {
        let request = read(&mut self.stream).await.ok()?;
        self.note(Note::Read(request));
        Some(())
    }

    /// Waits until the sender closes the connection.
    pub async fn until_closed(&mut self) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
        self.note(Note::Closed(0));
    }
}

impl Connection {
    /// Ends the connection by a reset.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<_> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut request = Request {
        line,
        headers,
        body: String::new(),
    };
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    request.body = String::from_utf8(body).unwrap();
    Ok(request)
}

/// An answer with a status, header lines and a body, which closes nothing.
pub fn answer(status: u16, headers: &[&str], body: &str) -> String {
    let mut text = format!("HTTP/1.1 {status} Some reason\r\ncontent-length: {}\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text + "\r\n" + body
}
