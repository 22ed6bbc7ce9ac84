//! A service on loopback, HTTP/1.1 by hand: it remembers what it was asked, and answers what the test says.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Asked {
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub enum Reply {
    Whole {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// A body that comes in pieces; it ends with the sender.
    Stream(UnboundedReceiver<String>),
    /// No answer, until the client goes away.
    Silence,
    /// The connection is closed.
    Hangup,
}

pub fn json(status: u16, body: &Value) -> Reply {
    text(status, &body.to_string())
}

pub fn text(status: u16, body: &str) -> Reply {
    Reply::Whole {
        status,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    }
}

type Answering = Pin<Box<dyn Future<Output = Reply> + Send>>;

#[derive(Clone)]
pub struct Service {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    count: watch::Sender<usize>,
    _task: Arc<Stop>,
}

struct Stop(AbortHandle);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Service {
    pub async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(Asked) -> A + Send + Sync + 'static,
        A: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let count = watch::Sender::new(0);
        let answer: Arc<dyn Fn(Asked) -> Answering + Send + Sync> = Arc::new(move |asked| Box::pin(answer(asked)));
        let (log, counter) = (Arc::clone(&asked), count.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, log, counter) = (Arc::clone(&answer), Arc::clone(&log), counter.clone());
                tokio::spawn(async move {
                    if let Some((stream, asked)) = read(stream).await {
                        log.lock().unwrap().push(asked.clone());
                        counter.send_modify(|count| *count += 1);
                        let reply = answer(asked).await;
                        write(stream, reply).await;
                    }
                });
            }
        });
        Self {
            url,
            asked,
            count,
            _task: Arc::new(Stop(task.abort_handle())),
        }
    }

    /// What was asked on this path so far.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.path() == path).cloned().collect()
    }

    /// Waits until this path was asked so often.
    pub async fn was_asked(&self, path: &str, times: usize) -> Vec<Asked> {
        let mut counts = self.count.subscribe();
        let waited = counts.wait_for(|_| self.asked(path).len() >= times);
        timeout(PATIENCE, waited).await.expect("it was asked").unwrap();
        self.asked(path)
    }
}

/// Waits for a condition.
pub async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let waited = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, waited).await.expect("it came to be");
}

async fn read(mut stream: TcpStream) -> Option<(TcpStream, Asked)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let mut first = lines.next()?.split(' ');
            let headers: HashMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length: usize = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
            if body.len() >= length {
                let asked = Asked {
                    method: first.next()?.to_owned(),
                    target: first.next()?.to_owned(),
                    headers,
                    body: body.to_owned(),
                };
                return Some((stream, asked));
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}

async fn write(mut stream: TcpStream, reply: Reply) {
    match reply {
        Reply::Whole { status, headers, body } => {
            let mut head = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n",
                body.len()
            );
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str("\r\n");
            let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        }
        Reply::Stream(mut pieces) => {
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n";
            if stream.write_all(head.as_bytes()).await.is_err() {
                return;
            }
            while let Some(piece) = pieces.recv().await {
                if stream.write_all(piece.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
        Reply::Silence => {
            let mut byte = [0];
            let _ = stream.read(&mut byte).await;
        }
        Reply::Hangup => {}
    }
}
