//! The commands beside serving, on the real binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a failed unwrap is a failed test, and waits have deadlines"
)]

mod support;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use support::{Directory, Server, closed_port, run, text};

fn succeeds(directory: &Path, arguments: &[&str]) -> String {
    let done = run(directory, arguments, &[]);
    assert!(
        done.status.success(),
        "{arguments:?}: {}{}",
        text(&done.stdout),
        text(&done.stderr)
    );
    text(&done.stdout)
}

fn fails(directory: &Path, arguments: &[&str]) -> String {
    let done = run(directory, arguments, &[]);
    assert_eq!(
        done.status.code(),
        Some(1),
        "{arguments:?}: {}{}",
        text(&done.stdout),
        text(&done.stderr)
    );
    text(&done.stdout) + &text(&done.stderr)
}

#[test]
fn every_problem_of_the_configuration_is_told_at_once() {
    let directory = Directory::new();
    let environment = [
        ("PORT", "0"),
        ("LOG_LEVEL", "loud"),
        ("DATABASE_URL", "postgres://u:canary@h/d"),
    ];
    for arguments in [&[][..], &["config", "check"], &["migrate"]] {
        let done = run(&directory.0, arguments, &environment);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{said}");
        for name in ["PORT", "LOG_LEVEL", "GRANTEX_MASTER_KEY"] {
            assert!(said.contains(name), "{name} is missing in: {said}");
        }
        assert!(!said.contains("canary"));
    }
    assert!(succeeds(&directory.0, &["config", "check"]).contains("the configuration is good"));
}

#[test]
fn migrations_are_checked_and_applied() {
    let directory = Directory::new();
    fails(&directory.0, &["migrate", "--check"]);
    assert!(!directory.0.join("grantex.db").exists(), "a look makes no database");
    succeeds(&directory.0, &["migrate"]);
    succeeds(&directory.0, &["migrate", "--check"]);
    assert!(succeeds(&directory.0, &["migrate"]).contains("up to date"));
    let started = run(&Directory::new().0, &[], &[("MIGRATE_ON_START", "false")]);
    assert_eq!(started.status.code(), Some(1));
    assert!(text(&started.stderr).contains("grantex-server migrate"));
}

#[test]
fn keys_rotate_and_retire() {
    let directory = Directory::new();
    let server = Server::start(&directory.0, &[]);
    let published = |server: &Server| server.get("/.well-known/jwks.json").1.matches("\"kid\"").count();
    assert_eq!(published(&server), 1);
    let listed = succeeds(&directory.0, &["keys", "list"]);
    let signing = listed
        .lines()
        .find(|line| line.contains("signing"))
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();

    assert!(fails(&directory.0, &["keys", "retire", &signing]).contains("only key that can sign"));
    succeeds(&directory.0, &["keys", "rotate"]);
    assert!(succeeds(&directory.0, &["keys", "list"]).contains("pending"));
    server.wait_for("signing_keys.changed");
    assert_eq!(published(&server), 2, "a new key is published before it signs");
    assert!(fails(&directory.0, &["keys", "retire", "nobody"]).contains("no active signing key"));
    fails(&directory.0, &["keys", "import"]);
    server.stop();
}

#[test]
fn root_keys_of_biscuits_rotate_while_the_server_runs() {
    let directory = Directory::new();
    let server = Server::start(&directory.0, &[]);
    let count = |path: &str| server.get(path).1.matches("\"kid\"").count();
    assert_eq!(count("/.well-known/biscuit-keys.json"), 1);
    let listed = succeeds(&directory.0, &["keys", "list"]);
    let root = listed.lines().find(|line| line.contains("EdDSA")).unwrap();
    assert!(root.contains("signing"), "{listed}");
    let kid = root.split_whitespace().next().unwrap();
    assert!(fails(&directory.0, &["keys", "retire", kid]).contains("only key that can sign"));
    succeeds(&directory.0, &["keys", "rotate", "--biscuit"]);
    server.wait_for("signing_keys.changed");
    assert_eq!(count("/.well-known/biscuit-keys.json"), 2);
    assert_eq!(count("/.well-known/jwks.json"), 1);
    server.stop();
}

#[test]
fn another_master_key_is_refused() {
    let directory = Directory::new();
    Server::start(&directory.0, &[]).stop();
    let master_key = "5a".repeat(32);
    let done = run(&directory.0, &[], &[("GRANTEX_MASTER_KEY", &master_key)]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        text(&done.stderr).contains("cannot be opened with this master key"),
        "{}",
        text(&done.stderr)
    );
    assert!(succeeds(&directory.0, &["doctor"]).contains("signs"));
    let doctor = run(&directory.0, &["doctor"], &[("GRANTEX_MASTER_KEY", &master_key)]);
    assert!(!doctor.status.success() && text(&doctor.stdout).contains("FAILED"));
}

#[test]
fn the_audit_chains_are_verified() {
    let directory = Directory::new();
    Server::start(&directory.0, &[]).stop();
    assert!(succeeds(&directory.0, &["audit", "verify"]).contains("every chain is intact"));
    fails(&directory.0, &["audit", "verify", "--developer", "nobody"]);
}

#[test]
fn a_container_can_ask_for_health() {
    let directory = Directory::new();
    let server = Server::start(&directory.0, &[]);
    let (_taken, nobody) = closed_port();
    for (port, arguments, is_well) in [
        (server.port, &["healthcheck"][..], true),
        (server.port, &["healthcheck", "--ready"], true),
        (nobody, &["healthcheck"], false),
    ] {
        let done = run(&directory.0, arguments, &[("PORT", &port.to_string())]);
        assert_eq!(done.status.success(), is_well, "{arguments:?}");
    }
    server.stop();
}

#[test]
fn a_health_check_ends_although_the_answer_never_does() {
    let directory = Directory::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (stop, stopped) = channel::<()>();
    let trickle = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while stopped.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
            // The other side has ended when this fails.
            if stream.write_all(b"x").is_err() {
                break;
            }
        }
    });
    let done = run(&directory.0, &["healthcheck"], &[("PORT", &port)]);
    drop(stop);
    trickle.join().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let told = text(&done.stderr);
    assert!(told.contains("asking the server failed: timed out"), "{told}");
}

#[test]
fn documentation_is_generated() {
    let directory = Directory::new();
    assert_eq!(
        succeeds(&directory.0, &["docs", "metrics"]),
        include_str!("../../../docs/metrics.md")
    );
    assert_eq!(
        succeeds(&directory.0, &["docs", "configuration"]),
        include_str!("../../../docs/configuration.md")
    );
}
