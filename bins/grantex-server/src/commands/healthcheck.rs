//! `healthcheck`: asks the running server, without an HTTP client library.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use super::line;
use crate::config::Config;
use crate::error::Failure;

/// How long all of it may take; less than what container engines and orchestrators wait by default.
const DEADLINE: Duration = Duration::from_secs(4);

/// More than the status line is not needed.
const LONGEST: usize = 4096;

/// Exit code 0 when the server answers 200, within [`DEADLINE`].
pub fn healthcheck(config: &Config, ready: bool) -> Result<(), Failure> {
    let path = if ready { "/ready" } else { "/health" };
    let status = status(config, path).map_err(Failure::of("asking the server"))?;
    line(&status)?;
    if is_good(&status) {
        Ok(())
    } else {
        Err(Failure::Found("the server is not well"))
    }
}

/// Whether a status line says 200.
pub fn is_good(status: &str) -> bool {
    status.split(' ').nth(1) == Some("200")
}

/// The status line with which the server on this machine answers, within [`DEADLINE`].
#[expect(clippy::disallowed_methods, reason = "a deadline of a command, which no test sets")]
pub fn status(config: &Config, path: &str) -> io::Result<String> {
    // A server that listens everywhere answers here as well.
    let host = match config.http.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    ask(host, config.http.port, path, Instant::now() + DEADLINE)
}

/// The status line of the answer.
fn ask(host: &str, port: u16, path: &str, deadline: Instant) -> io::Result<String> {
    let address = (host, port)
        .to_socket_addrs()?
        .next()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    let mut part = [0; 512];
    while !answer.contains(&b'\n') && answer.len() < LONGEST {
        // Set again for each part, so that one byte now and then does not prolong the whole.
        stream.set_read_timeout(Some(left(deadline)?))?;
        let count = stream.read(&mut part).map_err(late)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend(part.iter().take(count));
    }
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or_default().trim_end().to_owned())
}

/// A read that took too long says that it would block.
fn late(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

/// What is left until the deadline; an error when nothing is.
#[expect(clippy::disallowed_methods, reason = "a deadline of a command, which no test sets")]
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}
