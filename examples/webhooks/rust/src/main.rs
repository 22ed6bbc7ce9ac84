//! Receives Grantex webhooks: verifies who sent them, keeps each event once, and answers at once.
//!
//! An event is written to a file and forced to disk before the answer, because an answer of 2xx means that it never comes again.
//! What it means to the application is decided afterwards, by whoever reads the file: a receiver that works before it answers is
//! slow, and what is slow is sent again.
//!
//! ```sh
//! WEBHOOK_SECRET=… PORT=8787 INBOX=inbox.jsonl cargo run -p webhook-receiver
//! ```
//!
//! While a secret is being replaced, `WEBHOOK_SECRET_PREVIOUS` holds the older one.

#![allow(clippy::print_stdout, reason = "a program says what it does")]

mod signature;

use std::collections::HashSet;
use std::convert::Infallible;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, process};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// The largest body that is read; events are far smaller.
const MAX_BODY: usize = 1024 * 1024;
/// How long a client may take to send a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Events that were taken, a line each.
struct Inbox(Mutex<Taken>);

struct Taken {
    file: File,
    /// A program that runs for long keeps these in its database, under a unique index.
    ids: HashSet<String>,
    /// Whether the file may end within a line, because writing it was cut short.
    is_torn: bool,
}

impl Inbox {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        let id = |line: &str| {
            serde_json::from_str(line)
                .ok()
                .and_then(|event: Value| text(&event, "id"))
        };
        let lines = BufReader::new(&file).lines().collect::<io::Result<Vec<_>>>()?;
        Ok(Self(Mutex::new(Taken {
            ids: lines.iter().filter_map(|line| id(line)).collect(),
            is_torn: !lines.is_empty(),
            file,
        })))
    }

    /// Keeps an event, on disk when this returns. `false`: it was there already, since deliveries may come more than once.
    fn keep(&self, id: &str, event: &Value) -> io::Result<bool> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.ids.contains(id) {
            return Ok(false);
        }
        let line = match std::mem::replace(&mut taken.is_torn, true) {
            true => format!("\n{event}\n"),
            false => format!("{event}\n"),
        };
        taken.file.write_all(line.as_bytes())?;
        taken.file.sync_data()?;
        taken.is_torn = false;
        taken.ids.insert(id.to_owned());
        Ok(true)
    }
}

struct Receiver {
    secrets: Vec<String>,
    inbox: Inbox,
}

impl Receiver {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> StatusCode {
        if request.method() != Method::POST {
            return StatusCode::METHOD_NOT_ALLOWED;
        }
        let (head, body) = request.into_parts();
        let body = match timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE,
            Err(_) => return StatusCode::REQUEST_TIMEOUT,
        };
        let header = |name: &str| head.headers.get(name)?.to_str().ok();
        if let Err(refusal) = signature::verify(header, &body, &self.secrets, unix_seconds()) {
            println!("refused: {refusal:?}");
            return StatusCode::UNAUTHORIZED;
        }
        let event: Value = serde_json::from_slice(&body).unwrap_or_default();
        let (Some(id), Some(kind)) = (text(&event, "id"), text(&event, "type")) else {
            return StatusCode::BAD_REQUEST;
        };
        let key = id.clone();
        match spawn_blocking(move || self.inbox.keep(&key, &event)).await {
            Ok(Ok(true)) => println!("taken: {id} {kind}"),
            Ok(Ok(false)) => println!("known: {id} {kind}"),
            // Whatever is no 2xx is sent again.
            Ok(Err(_)) | Err(_) => return StatusCode::SERVICE_UNAVAILABLE,
        }
        StatusCode::NO_CONTENT
    }
}

#[allow(clippy::disallowed_methods, reason = "a program of its own has no other clock")]
fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn text(event: &Value, member: &str) -> Option<String> {
    event.get(member).and_then(Value::as_str).map(ToOwned::to_owned)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let names = ["WEBHOOK_SECRET", "WEBHOOK_SECRET_PREVIOUS"];
    let secrets = names.iter().filter_map(|name| env::var(name).ok());
    // Anybody can sign with an empty key.
    let secrets: Vec<String> = secrets.filter(|secret| !secret.is_empty()).collect();
    if secrets.is_empty() {
        println!("set WEBHOOK_SECRET to the secret that the webhook was made with");
        process::exit(2);
    }
    let inbox = Inbox::open(Path::new(
        &env::var("INBOX").unwrap_or_else(|_| "inbox.jsonl".to_owned()),
    ))?;
    let receiver = Arc::new(Receiver { secrets, inbox });

    let port: u16 = env::var("PORT").unwrap_or_else(|_| "8787".to_owned()).parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening: http://{}", listener.local_addr()?);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, for example: connections wait until there are some again.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let receiver = Arc::clone(&receiver);
        let service = service_fn(move |request| {
            let receiver = Arc::clone(&receiver);
            async move {
                let status = receiver.answer(request).await;
                let mut response = Response::new(String::new());
                *response.status_mut() = status;
                Ok::<_, Infallible>(response)
            }
        });
        tokio::spawn(async move {
            // A connection that breaks is the sender's to repeat.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
