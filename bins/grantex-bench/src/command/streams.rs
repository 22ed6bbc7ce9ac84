//! `grantex-bench streams`: what open event streams cost, and how long one event takes to reach all of them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout};

use super::webhooks::exchange;
use super::{parse_label, print, progress, save};
use crate::account::open_accounts;
use crate::connection::{Connection, Target};
use crate::error::BenchError;
use crate::machine::Machine;
use crate::process::{cpu_time, memory};
use crate::report::{Record, StreamReport};

/// Streams that are being opened at a time: as many as wait comfortably to be accepted.
const OPENING: usize = 64;
/// How long opening one stream, and one event on its way to all, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the server is given to settle before its memory is read.
const SETTLING: Duration = Duration::from_secs(3);
/// How long the processor time of silent streams is measured: a keepalive is among it.
const SILENCE: Duration = Duration::from_secs(35);

#[derive(Clone, Copy, ValueEnum)]
enum Transport {
    Sse,
    Websocket,
}

#[derive(Args)]
pub struct Options {
    /// The server's base URL; EVENT_STREAMS_PER_DEVELOPER must allow that many streams
    #[arg(long)]
    url: String,
    /// The server's process id, for its memory
    #[arg(long)]
    server_pid: u32,
    /// Streams to open (ulimit -n must allow them here and at the server)
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=25_000))]
    streams: u32,
    /// How they are carried
    #[arg(long, value_enum, default_value_t = Transport::Sse)]
    transport: Transport,
    /// Remember something with the result, such as store=sqlite (may be repeated)
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Write the result to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Returns how many streams could not be opened or did not bring the event.
pub async fn streams(options: Options) -> Result<u64, BenchError> {
    LocalSet::new().run_until(measure(options)).await
}

async fn measure(options: Options) -> Result<u64, BenchError> {
    let target = Target::parse(&options.url)?;
    let account = open_accounts(&target, 1)
        .await?
        .pop()
        .ok_or_else(|| BenchError::Usage("there is no developer to listen for".to_owned()))?;
    let mut connection = Connection::new(target.clone());
    // What the server allocates once for its first events must not look like a cost of streams.
    exchange(&mut connection, &target, &account, 0).await?;
    let before = memory(options.server_pid)?.resident_kib;

    progress(&format!("opening {} streams", options.streams));
    let request = request(&target, &account.api_key, options.transport);
    let began = Instant::now();
    let (mut open, mut opening, mut refused) = (Vec::new(), JoinSet::new(), 0_u64);
    for _ in 0..options.streams {
        if opening.len() == OPENING {
            keep(opening.join_next().await, &mut open, &mut refused);
        }
        opening.spawn_local(open_one(target.clone(), request.clone(), options.transport));
    }
    while let Some(ended) = opening.join_next().await {
        keep(Some(ended), &mut open, &mut refused);
    }
    let opened_in = began.elapsed();
    sleep(SETTLING).await;
    let idle = memory(options.server_pid)?.resident_kib;

    progress("listening to their silence");
    let cpu_before = cpu_time(options.server_pid)?;
    sleep(SILENCE).await;
    let cpu = cpu_time(options.server_pid)?.saturating_sub(cpu_before);
    let silent = memory(options.server_pid)?.resident_kib;

    progress("sending an event to all");
    let count = open.len();
    let mut hearing = JoinSet::new();
    for stream in open {
        hearing.spawn_local(hear(stream));
    }
    let began = Instant::now();
    exchange(&mut connection, &target, &account, 1).await?;
    let mut heard = Vec::with_capacity(count);
    while let Some(ended) = hearing.join_next().await {
        heard.push(ended.map_err(BenchError::Client)?);
    }
    let to_all = began.elapsed();
    let told = heard.iter().flatten().count();
    let after = memory(options.server_pid)?;

    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let report = StreamReport {
        labels: options.labels.iter().cloned().collect(),
        machine: Machine::read(),
        transport: match options.transport {
            Transport::Sse => "SSE".to_owned(),
            Transport::Websocket => "WebSocket".to_owned(),
        },
        streams: number(count),
        refused,
        opened_in_seconds: opened_in.as_secs_f64(),
        before_kib: before,
        idle_kib: idle.max(silent),
        after_kib: after.resident_kib,
        peak_kib: after.peak_kib,
        silent_cpu_percent: 100.0 * cpu.as_secs_f64() / SILENCE.as_secs_f64(),
        to_all_ms: to_all.as_secs_f64() * 1_000.0,
        untold: number(count - told),
    };
    print(&report.to_text())?;
    let failures = report.refused + report.untold;
    save(options.json.as_deref(), &Record::Streams(report))?;
    Ok(failures)
}

type Opened = Result<Option<TcpStream>, tokio::task::JoinError>;

fn keep(ended: Option<Opened>, open: &mut Vec<TcpStream>, refused: &mut u64) {
    match ended {
        Some(Ok(Some(stream))) => open.push(stream),
        Some(_) => *refused += 1,
        None => {}
    }
}

fn request(target: &Target, key: &str, transport: Transport) -> String {
    let (path, upgrade) = match transport {
        Transport::Sse => ("stream", ""),
        Transport::Websocket => (
            "ws",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ),
    };
    let host = target.authority();
    format!("GET /v1/events/{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n{upgrade}\r\n")
}

/// A stream that has begun; `None` when it was refused or did not begin in time.
async fn open_one(target: Target, request: String, transport: Transport) -> Option<TcpStream> {
    let (status, begun): (&[u8], &[u8]) = match transport {
        Transport::Sse => (b"HTTP/1.1 200 ", b": open\n"),
        Transport::Websocket => (b"HTTP/1.1 101 ", b"\r\n\r\n"),
    };
    let opening = async {
        let mut stream = TcpStream::connect(target.authority()).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let answer = read_until(&mut stream, begun).await?;
        answer.starts_with(status).then_some(stream)
    };
    timeout(PATIENCE, opening).await.ok().flatten()
}

/// Waits for the second event of an exchange; `None` when it does not come.
async fn hear(mut stream: TcpStream) -> Option<TcpStream> {
    let hearing = async {
        read_until(&mut stream, b"\"token.issued\"").await?;
        Some(stream)
    };
    timeout(PATIENCE, hearing).await.ok().flatten()
}

/// Everything up to and with `wanted`; `None` when the connection ends before.
async fn read_until(stream: &mut TcpStream, wanted: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 2_048];
    while !bytes.windows(wanted.len()).any(|window| window == wanted) {
        let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(piece.get(..count)?);
    }
    Some(bytes)
}
