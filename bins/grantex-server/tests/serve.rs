//! Starting, serving and ending of the real binary on the embedded store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a failed unwrap is a failed test, and waits have deadlines"
)]

mod support;

use std::fs;
use std::io::Write as _;
use std::process::Command;

use support::{Directory, Server, answer, text};

#[test]
fn the_first_start_shows_a_key_once_and_the_printed_flow_works() {
    let directory = Directory::new();
    let server = Server::start(&directory.0, &[]);
    assert_eq!(server.get("/health"), (200, r#"{"status":"ok"}"#.to_owned()));
    assert_eq!(server.get("/ready").0, 200);
    let greeting = server.stop();
    let (_, flow) = greeting.split_once("export ").expect("a flow is printed");
    let key = flow.split_once("KEY=").unwrap().1.split_whitespace().next().unwrap();
    assert!(key.starts_with("gx_test_"), "{key}");

    // The second start has nothing to show, and the flow works against it.
    let server = Server::start(&directory.0, &[]);
    let printed_url = flow.split_whitespace().next().unwrap();
    let flow = format!("export {flow}").replace(printed_url, &format!("GRANTEX=http://127.0.0.1:{}", server.port));
    let script = directory.0.join("flow.sh");
    fs::write(&script, flow).unwrap();
    let done = Command::new("sh").arg(&script).output().unwrap();
    let said = text(&done.stdout);
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with(r#"{"valid":true"#),
        "{said}{}",
        text(&done.stderr)
    );
    assert_eq!(lines[1], r#"{"valid":false}"#);
    assert!(!server.stop().contains("gx_test_"));
}

#[test]
fn a_production_server_makes_no_account() {
    let directory = Directory::new();
    let master_key = "5a".repeat(32);
    let server = Server::start(
        &directory.0,
        &[
            ("GRANTEX_ENV", "production"),
            ("PUBLIC_BASE_URL", "https://auth.example"),
            ("GRANTEX_MASTER_KEY", &master_key),
            ("METRICS_ENABLED", "false"),
        ],
    );
    assert_eq!(server.get("/metrics").0, 404);
    assert!(!server.stop().contains("gx_"));
    assert!(!directory.0.join("grantex.db.key").exists());
}

#[test]
fn a_signal_drains() {
    let directory = Directory::new();
    let key = "seeded-sandbox-key-0123456789";
    // Long enough for what follows on a busy machine: both clocks run while this test acts.
    let server = Server::start(
        &directory.0,
        &[
            ("SEED_SANDBOX_KEY", key),
            ("SHUTDOWN_DELAY", "10s"),
            ("REQUEST_DEADLINE", "60s"),
        ],
    );
    let body = r#"{"name":"Slow agent"}"#;
    let (first, rest) = body.split_at(10);
    let mut slow = server.connect();
    write!(
        slow,
        "POST /v1/agents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{first}",
        body.len()
    )
    .unwrap();
    server.signal("TERM");
    server.wait_for("draining");
    assert_eq!(server.get("/ready").0, 503, "new traffic is sent away");
    assert_eq!(server.get("/health").0, 200, "what comes nevertheless is answered");
    write!(slow, "{rest}").unwrap();
    assert_eq!(answer(slow).0, 201, "what has begun is answered");
    let (code, stderr) = server.wait();
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let directory = Directory::new();
    // A server that waited for the connection would wait for longer than this test does.
    let server = Server::start(&directory.0, &[("SHUTDOWN_TIMEOUT", "300s")]);
    let mut idle = server.connect();
    write!(idle, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    server.wait_for("request.completed");
    server.signal("INT");
    let (code, stderr) = server.wait();
    assert_eq!(code, Some(0), "{stderr}");
}
