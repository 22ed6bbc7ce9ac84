//! `events tail`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;

use serde_json::{Value, json};

use crate::support::{Ended, Service, command};

fn kinds(out: &str) -> Vec<String> {
    out.lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["type"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

/// Position 0 is before everything.
const FROM_THE_START: [&str; 5] = ["events", "tail", "--json", "--after", "0"];

#[test]
fn events_are_shown_from_a_position_on_and_by_filters() {
    let service = Service::start();
    let tail = |more: &[&str]| service.run(&[&FROM_THE_START, more].concat()).good();
    let all = tail(&["--count", "6"]);
    assert_eq!(
        kinds(&all),
        [
            "grant.created",
            "token.issued",
            "grant.created",
            "token.issued",
            "grant.created",
            "token.issued"
        ]
    );
    let envelope: Value = serde_json::from_str(all.lines().next().unwrap()).unwrap();
    let grant = &service.issued.grant;
    assert_eq!(
        envelope,
        json!({
            "createdAt": "2100-01-01T00:00:00.000Z", "id": envelope["id"], "type": "grant.created",
            "data": {
                "grantId": grant.id, "agentId": grant.agent_id, "principalId": "user-1",
                "scopes": ["calendar:read", "mail:read", "mail:send"], "expiresAt": "2100-01-02T00:00:00.000Z",
            },
        })
    );
    let of_child = [
        "--count",
        "1",
        "--type",
        "token.*,grant.revoked",
        "--grant",
        service.child.grant.id.as_str(),
    ];
    let shown: Value = serde_json::from_str(&tail(&of_child)).unwrap();
    assert_eq!(shown["data"]["tokenId"], json!(service.child.token_id));
    let of_agent = [
        "--count",
        "2",
        "--agent",
        service.grandchild.grant.agent_id.as_str(),
        "--principal",
        "user-1",
    ];
    assert_eq!(kinds(&tail(&of_agent)), ["grant.created", "token.issued"]);

    let text = service.run(&["events", "tail", "--after", "0", "--count", "1"]).good();
    assert!(
        text.starts_with("2100-01-01T00:00:00.000Z  grant.created  ")
            && text.contains(&format!("grantId={}", grant.id)),
        "{text}"
    );
}

#[test]
fn what_happens_is_shown_as_it_happens() {
    let service = Service::start();
    let mut child = service
        .command(&["events", "tail", "--json", "--after", "6", "--count", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    service
        .run(&["grants", "revoke", service.issued.grant.id.as_str()])
        .good();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&event["type"], &event["data"]["cascadeCount"]),
        (&json!("grant.revoked"), &json!(2))
    );
    assert!(child.wait().unwrap().success());
}

/// Answers one request and tells its head.
fn answer(listener: &TcpListener, answer: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let head = head(&mut stream);
    stream.write_all(answer.as_bytes()).unwrap();
    head
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

#[test]
fn an_interrupted_stream_is_taken_up_behind_the_last_whole_event() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = thread::spawn(move || {
        let first =
            format!("{STREAM}: open\nid: 4\n\nid: 5\ndata: {{\"type\":\"a\"}}\n\nid: 6\ndata: {{\"type\":\"half\"}}\n");
        let second = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let third = format!("{STREAM}id: 6\ndata: {{\"type\":\"b\"}}\n\n: ended: draining\n\n");
        [first.as_str(), second, &third].map(|text| answer(&listener, text))
    });
    let mut tail = command(&["events", "tail", "--json", "--count", "2"]);
    tail.env("GRANTEX_URL", url)
        .env("GRANTEX_API_KEY", "canary-key-0123456789");
    let ended = Ended::of(tail, "");
    assert_eq!(
        (ended.code, kinds(&ended.out)),
        (0, vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(ended.err.lines().count(), 2, "each interruption is told: {}", ended.err);
    assert!(!ended.err.contains("canary"));
    let heads = service.join().unwrap();
    assert!(!heads[0].contains("last-event-id"));
    assert!(heads[1].contains("last-event-id: 5\r\n") && heads[2].contains("last-event-id: 5\r\n"));
    assert!(
        heads
            .iter()
            .all(|head| head.contains("authorization: bearer canary-key-0123456789"))
    );
}

#[test]
fn a_silent_stream_is_left_and_taken_up_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = thread::spawn(move || {
        let (mut silent, _) = listener.accept().unwrap();
        head(&mut silent);
        silent.write_all(STREAM.as_bytes()).unwrap();
        // Open and silent for as long as the command stays with it.
        let second = answer(&listener, &format!("{STREAM}id: 1\ndata: {{\"type\":\"a\"}}\n\n"));
        drop(silent);
        second
    });
    let mut tail = command(&["events", "tail", "--json", "--count", "1", "--silence", "1s"]);
    tail.env("GRANTEX_URL", url)
        .env("GRANTEX_API_KEY", "key-0123456789abcdef");
    let ended = Ended::of(tail, "");
    assert_eq!((ended.code, kinds(&ended.out)), (0, vec!["a".to_owned()]));
    service.join().unwrap();
}

#[test]
fn refusals_end_it() {
    let service = Service::start();
    let said = service.run(&["events", "tail", "--type", "no.such"]).bad(3);
    assert!(said.contains("400") && said.contains("types"), "{said}");
    let said = service.run(&["events", "tail", "--after", "nonsense"]).bad(3);
    assert!(said.contains("Last-Event-ID"), "{said}");
}
