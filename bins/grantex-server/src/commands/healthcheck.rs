//! `healthcheck`: asks the running server, without an HTTP client library.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use super::line;
use crate::config::Config;
use crate::error::Failure;

const TIMEOUT: Duration = Duration::from_secs(3);

/// Exit code 0 when the server answers 200.
pub fn healthcheck(config: &Config, ready: bool) -> Result<(), Failure> {
    // A server that listens everywhere answers here as well.
    let host = match config.http.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let path = if ready { "/ready" } else { "/health" };
    let status = ask(host, config.http.port, path).map_err(Failure::of("asking the server"))?;
    line(&status)?;
    if status.contains(" 200 ") {
        Ok(())
    } else {
        Err(Failure::Found("the server is not well"))
    }
}

fn ask(host: &str, port: u16, path: &str) -> std::io::Result<String> {
    let address = (host, port)
        .to_socket_addrs()?
        .next()
        .ok_or(std::io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
