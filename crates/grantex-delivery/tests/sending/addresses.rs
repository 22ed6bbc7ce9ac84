//! A connection goes to addresses that may be called, and to no others.

use std::net::IpAddr;
use std::sync::Arc;

use grantex_core::testing::ManualClock;
use grantex_core::webhook::send::SendError;
use grantex_delivery::{DeliverySettings, HttpSender, Lookup, SystemLookup};

use crate::support::receiver::{Receiver, answer};
use crate::support::{Answer, HERE, HOST, Names, impatient, send, sender, settings, status, with_names};

fn addresses(texts: &[&str]) -> Answer {
    Answer::Are(texts.iter().map(|text| text.parse().unwrap()).collect())
}

#[tokio::test]
async fn one_forbidden_address_among_many_is_enough() {
    let receiver = Receiver::answering(answer(200, &[], "")).await;
    for forbidden in [
        "127.0.0.2",
        "10.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:10.0.0.1",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "100.64.0.1",
        "192.0.2.1",
    ] {
        for all in [
            vec![forbidden],
            vec!["127.0.0.1", forbidden],
            vec![forbidden, "127.0.0.1"],
            vec!["127.0.0.1", "127.0.0.1", forbidden, "127.0.0.1"],
        ] {
            let names = Names::default().with(HOST, [addresses(&all)]);
            let sender = with_names(&settings(), &names);
            assert_eq!(
                send(&sender, &receiver.url("/")).await,
                Err(SendError::AddressRefused),
                "{all:?}"
            );
        }
    }
    receiver.assert_untouched().await;
}

#[tokio::test]
async fn by_default_this_machine_may_not_be_called() {
    let receiver = Receiver::answering(answer(200, &[], "")).await;
    let strict = DeliverySettings {
        allow_insecure_urls: true,
        ..DeliverySettings::default()
    };
    let sender = sender(&strict);
    let port = receiver.address.port();
    assert_eq!(send(&sender, &receiver.url("/")).await, Err(SendError::AddressRefused));
    for host in [
        "127.0.0.1",
        "[::1]",
        "localhost",
        "0.0.0.0",
        "2130706433",
        "[::ffff:127.0.0.1]",
    ] {
        let url = format!("http://{host}:{port}/");
        assert_eq!(send(&sender, &url).await, Err(SendError::UrlRefused), "{host}");
    }
    receiver.assert_untouched().await;
}

#[tokio::test]
async fn with_private_hosts_allowed_it_may() {
    let receiver = Receiver::answering(answer(200, &[], "")).await;
    let open = DeliverySettings {
        allow_insecure_urls: true,
        allow_private_hosts: true,
        ..DeliverySettings::default()
    };
    let names = Names::here().with("localhost", [Answer::Are(vec![HERE])]);
    let sender = with_names(&open, &names);
    for host in ["127.0.0.1", "localhost", HOST] {
        let url = format!("http://{host}:{}/", receiver.address.port());
        assert_eq!(send(&sender, &url).await, status(200), "{host}");
    }
}

#[tokio::test]
async fn a_name_that_moves_to_a_forbidden_address_is_refused() {
    // The connection is closed after each answer, so that each send needs a new one.
    let receiver = Receiver::answering(answer(200, &["connection: close"], "")).await;
    let names = Names::default().with(HOST, [addresses(&["127.0.0.1"]), addresses(&["127.0.0.2"])]);
    let sender = with_names(&settings(), &names);
    assert_eq!(send(&sender, &receiver.url("/")).await, status(200));
    assert_eq!(send(&sender, &receiver.url("/")).await, Err(SendError::AddressRefused));
    assert_eq!(names.asked(), [HOST, HOST]);
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_name_is_looked_up_once_for_a_connection() {
    // Were it looked up again between check and connection, the second answer would be met.
    let receiver = Receiver::answering(answer(200, &[], "")).await;
    let names = Names::default().with(HOST, [addresses(&["127.0.0.1"]), Answer::Fails]);
    let sender = with_names(&settings(), &names);
    for _ in 0..3 {
        assert_eq!(send(&sender, &receiver.url("/")).await, status(200));
    }
    assert_eq!(names.asked(), [HOST]);
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn addresses_in_urls_are_not_looked_up() {
    let receiver = Receiver::answering(answer(200, &[], "")).await;
    let names = Names::default();
    let sender = with_names(&settings(), &names);
    let url = format!("http://127.0.0.1:{}/", receiver.address.port());
    assert_eq!(send(&sender, &url).await, status(200));
    assert_eq!(names.asked(), [""; 0]);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_is_dead() {
    // Both may be called, and nobody listens at the first.
    let settings = DeliverySettings {
        allow_networks: "127.0.0.0/8".parse().unwrap(),
        ..settings()
    };
    let receiver = Receiver::answering(answer(200, &[], "")).await;
    let names = Names::default().with(HOST, [addresses(&["127.0.0.9", "127.0.0.1"])]);
    assert_eq!(
        send(&with_names(&settings, &names), &receiver.url("/")).await,
        status(200)
    );
}

#[tokio::test]
async fn names_without_an_address_are_unresolved() {
    let nothing: Vec<IpAddr> = Vec::new();
    for (answer, settings) in [
        (Answer::Fails, settings()),
        (Answer::Are(nothing), settings()),
        // Within half of the deadline.
        (Answer::Hangs, impatient()),
    ] {
        let names = Names::default().with(HOST, [answer]);
        let sender = with_names(&settings, &names);
        assert_eq!(
            send(&sender, &format!("http://{HOST}/")).await,
            Err(SendError::Unresolved)
        );
    }
}

#[tokio::test]
async fn urls_are_judged_again_when_they_are_called() {
    let names = Names::here();
    let sender = with_names(&DeliverySettings::default(), &names);
    for url in [
        "http://hooks.example.com/",
        "https://user@hooks.example.com/",
        "https://hooks.example.com:25/",
        "https://hooks.example.com./",
        "https://hooks.example.com/#x",
        "https://localhost/",
        "https://10.0.0.1/",
        "ftp://hooks.example.com/",
        "hooks.example.com",
        "",
    ] {
        assert_eq!(send(&sender, url).await, Err(SendError::UrlRefused), "{url:?}");
    }
    assert_eq!(names.asked(), [""; 0]);
}

#[tokio::test]
async fn the_machines_resolver_is_checked_too() {
    let found = SystemLookup::default().lookup("localhost").await.unwrap();
    assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");

    // The name may be called, as a network is allowed; its addresses are not in it.
    let settings = DeliverySettings {
        allow_networks: "10.0.0.0/8".parse().unwrap(),
        ..settings()
    };
    let receiver = Receiver::answering(answer(200, &[], "")).await;
    let sender = HttpSender::new(&settings, Arc::new(ManualClock::default())).unwrap();
    let url = format!("http://localhost:{}/", receiver.address.port());
    assert_eq!(send(&sender, &url).await, Err(SendError::AddressRefused));
}
