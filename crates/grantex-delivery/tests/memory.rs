//! Hostile receivers cost little memory. Alone in its process, so that what is measured is theirs.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grantex_core::testing::ManualClock;
use grantex_core::webhook::send::{Outgoing, SendError, Sender};
use grantex_delivery::{DeliverySettings, HttpSender};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// At once, to each kind of receiver.
const SENDS: usize = 8;

/// What they may cost together. A head is read to 400 KiB before it is given up; everything else is read and forgotten.
const ALLOWED: usize = 24 << 20;

/// A line of this process's status, in bytes.
fn memory(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

/// Listens, and writes `start` and then `more` without end to whoever comes. Counts what it wrote.
async fn flood(start: &'static [u8], more: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let written = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&written);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let mut part = start;
                while stream.write_all(part).await.is_ok() {
                    counter.fetch_add(part.len(), Ordering::Relaxed);
                    part = more;
                }
            });
        }
    });
    (url, written)
}

#[tokio::test]
async fn floods_are_read_and_forgotten() {
    let interim: &'static [u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"
        .repeat(100)
        .leak();
    let headers: &'static [u8] = b"x: y\r\n".repeat(100).leak();
    let sender = |seconds| {
        let settings = DeliverySettings {
            allow_insecure_urls: true,
            allow_private_hosts: true,
            deadline: Duration::from_secs(seconds),
            ..DeliverySettings::default()
        };
        Arc::new(HttpSender::new(&settings, Arc::new(ManualClock::default())).unwrap())
    };
    let before = memory("VmRSS");
    let mut total = 0;
    for (start, more, deadline, expected) in [
        (interim, interim, 2, Err(SendError::TimedOut)),
        (&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[b'x'; 16 * 1024][..], 60, Ok(200)),
        (
            b"HTTP/1.1 200 OK\r\nx: ",
            &[b'y'; 16 * 1024],
            60,
            Err(SendError::Broken),
        ),
        (b"HTTP/1.1 200 OK\r\n", headers, 60, Err(SendError::Broken)),
    ] {
        let sender = sender(deadline);
        let (url, written) = flood(start, more).await;
        let sends: Vec<_> = (0..SENDS)
            .map(|_| {
                let sender = Arc::clone(&sender);
                let request = Outgoing {
                    url: url.clone(),
                    headers: Vec::new(),
                    body: Arc::from("{}"),
                };
                tokio::spawn(async move { sender.send(&request).await.map(|received| received.status) })
            })
            .collect();
        for send in sends {
            assert_eq!(send.await.unwrap(), expected);
        }
        total += written.load(Ordering::Relaxed);
    }
    let cost = memory("VmHWM").saturating_sub(before);
    assert!(cost < ALLOWED, "{cost} bytes for {total} bytes that were written");
    println!("{cost} bytes for {total} bytes that were written");
}
