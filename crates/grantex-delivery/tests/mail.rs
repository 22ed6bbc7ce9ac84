//! Handing mails to a mail server.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use grantex_core::webhook::send::{Mail, Received, SendError};
use grantex_delivery::{MailSettings, MailTls, Mailer};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(30);

fn settings(port: u16, tls: MailTls, deadline: Duration) -> MailSettings {
    MailSettings {
        host: "127.0.0.1".into(),
        port,
        tls,
        credentials: None,
        from: "Grantex <grantex@mail.example.com>".into(),
        deadline,
        ca_file: None,
    }
}

fn mail() -> Mail {
    Mail {
        to: vec!["a@example.com".into(), "b@example.com".into()],
        subject: "[Grantex] high: rate_spike – ä".into(),
        text: "One line\r\n.\r\nAnother\r\n".into(),
        id: "evt_1".into(),
    }
}

/// A mail server that takes one connection. It answers `refusal` to whatever begins with that command, and gives what it was
/// told: commands, and the lines of the mail.
async fn sink(refusal: Option<(&'static str, &'static str)>) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, refusal).await
    });
    (port, task)
}

async fn serve(stream: TcpStream, refusal: Option<(&'static str, &'static str)>) -> Vec<String> {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    let mut told = Vec::new();
    let mut is_data = false;
    writing.write_all(b"220 sink ready\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        told.push(line.clone());
        let answer = if is_data && line != "." {
            continue;
        } else if is_data {
            is_data = false;
            "250 taken"
        } else if let Some((command, answer)) = refusal
            && line.starts_with(command)
        {
            answer
        } else if line.starts_with("DATA") {
            is_data = true;
            "354 go on"
        } else if line.starts_with("QUIT") {
            "221 bye"
        } else {
            "250 fine"
        };
        writing.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
    }
    told
}

#[tokio::test]
async fn a_mail_is_handed_over_with_all_that_makes_it_one() {
    let (port, server) = sink(None).await;
    let mailer = Mailer::new(&settings(port, MailTls::None, LONG)).unwrap();
    let received = mailer.hand_over(&mail()).await.unwrap();
    assert!(received.is_success(), "{received:?}");
    drop(mailer);
    let told = server.await.unwrap();
    let has = |wanted: &str| told.iter().any(|line| line == wanted);
    for line in [
        "EHLO mail.example.com",
        "RCPT TO:<a@example.com>",
        "RCPT TO:<b@example.com>",
        "Message-ID: <evt_1@mail.example.com>",
        "Auto-Submitted: auto-generated",
        "To: a@example.com, b@example.com",
        "One line",
        // A line that is a dot only would end the mail (RFC 5321 §4.5.2).
        "..",
        "Another",
    ] {
        assert!(has(line), "{line} in {told:?}");
    }
    assert!(
        told.iter()
            .any(|line| line.starts_with("MAIL FROM:<grantex@mail.example.com>"))
    );
    assert!(
        told.iter()
            .any(|line| line.starts_with("Subject: [Grantex] high: rate_spike =?utf-8?")),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_refusal_is_an_answer_with_its_code() {
    for (command, answer, status) in [
        ("RCPT", "550 nobody of that name", 550),
        ("MAIL", "451 later", 451),
        ("DATA", "554 no", 554),
    ] {
        let (port, _server) = sink(Some((command, answer))).await;
        let mailer = Mailer::new(&settings(port, MailTls::None, LONG)).unwrap();
        let expected = Received {
            status,
            retry_after: None,
        };
        assert_eq!(mailer.hand_over(&mail()).await, Ok(expected), "{command}");
    }
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear_where_tls_is_wanted() {
    let (port, server) = sink(None).await;
    let mailer = Mailer::new(&settings(port, MailTls::StartTls, LONG)).unwrap();
    assert!(mailer.hand_over(&mail()).await.is_err());
    let told = server.await.unwrap();
    assert!(!told.iter().any(|line| line.starts_with("MAIL")), "{told:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_costs_no_more_than_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for tls in [MailTls::None, MailTls::StartTls, MailTls::Implicit] {
        let mailer = Mailer::new(&settings(port, tls, Duration::from_millis(200))).unwrap();
        assert_eq!(mailer.hand_over(&mail()).await, Err(SendError::TimedOut), "{tls:?}");
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_failed_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mailer = Mailer::new(&settings(port, MailTls::None, LONG)).unwrap();
    assert_eq!(mailer.hand_over(&mail()).await, Err(SendError::ConnectFailed));
}

#[test]
fn a_sender_that_is_no_address_is_refused() {
    for from in ["", "grantex", "a@b@c", "a@example.com\r\nBcc: b@example.com"] {
        let settings = MailSettings {
            from: from.into(),
            ..settings(25, MailTls::None, LONG)
        };
        assert!(Mailer::new(&settings).is_err(), "{from}");
    }
}
