//! The real binary: started in a directory of its own, watched through its log, spoken to over plain TCP.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "shared by several tests; a failed unwrap is a failed test, and waits have deadlines"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpSocket;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

static DIRECTORIES: AtomicU32 = AtomicU32::new(0);

/// A directory that is removed with its content.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("grantex-server-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The binary with this environment and no other.
pub fn command(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grantex-server"));
    command
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command(directory, arguments, environment).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A port that nobody listens on right now. Below the range from which the system takes the ports of outgoing connections, so
/// that none of those takes it before the server does; beginning at a place of this process's own, because other test runs look too.
fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(61);
    (0..COUNT)
        .map(|_| FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .map(|port| u16::try_from(port).unwrap())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a port is free")
}

/// A port that is taken and on which nobody listens: connections to it are refused for as long as this lives.
pub fn closed_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// A running server.
pub struct Server {
    pub port: u16,
    child: Child,
    lines: Receiver<Value>,
    stderr: Receiver<String>,
}

impl Server {
    /// Starts it and waits until it listens.
    pub fn start(directory: &Path, environment: &[(&str, &str)]) -> Self {
        // Somebody else may have taken the port in the meantime.
        for _ in 0..5 {
            let server = Self::spawn(directory, environment);
            if server.next("listening").is_some() {
                return server;
            }
            let (code, stderr) = server.wait();
            assert!(stderr.contains("in use"), "it ended with {code:?}: {stderr}");
        }
        panic!("no port is free");
    }

    fn spawn(directory: &Path, environment: &[(&str, &str)]) -> Self {
        let port = free_port();
        let text = port.to_string();
        let environment = [
            &[
                ("PORT", text.as_str()),
                ("LOG_FORMAT", "json"),
                ("SHUTDOWN_DELAY", "1s"),
            ],
            environment,
        ]
        .concat();
        let mut child = command(directory, &[], &environment)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for text in stdout.lines().map_while(Result::ok) {
                let value: Value =
                    serde_json::from_str(&text).unwrap_or_else(|_| panic!("a log line is not JSON: {text}"));
                if line.send(value).is_err() {
                    return;
                }
            }
        });
        let (all, stderr) = channel();
        let mut errors = child.stderr.take().unwrap();
        thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            let _ = all.send(text);
        });
        Self {
            port,
            child,
            lines,
            stderr,
        }
    }

    /// The next log line with this message.
    pub fn wait_for(&self, message: &str) -> Value {
        self.next(message)
            .unwrap_or_else(|| panic!("the log never said {message}"))
    }

    /// The same, or `None` when the log ends before it.
    fn next(&self, message: &str) -> Option<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line["msg"] == message => return Some(line),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Status and body of a request without a body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = self.connect();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        answer(stream)
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for the end; exit code and standard error.
    pub fn wait(mut self) -> (Option<i32>, String) {
        // Standard error ends when the process does, so this is a wait with a deadline.
        let stderr = self.stderr.recv_timeout(PATIENCE).expect("the server ends");
        (self.child.wait().unwrap().code(), stderr)
    }

    /// Stops it; it must end in order.
    pub fn stop(self) -> String {
        self.signal("TERM");
        let (code, stderr) = self.wait();
        assert_eq!(code, Some(0), "{stderr}");
        stderr
    }
}

impl Drop for Server {
    /// A test that failed leaves no server behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body of an answer that ends with its connection.
pub fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}
