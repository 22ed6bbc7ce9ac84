//! What operators can open, and what stays shut.

use grantex_core::webhook::address::Special::{LinkLocal, Loopback, Multicast, Private, Reserved};
use grantex_core::webhook::target::UrlRefusal::{Address, Insecure, LocalName, Spelling};
use grantex_delivery::{CallPolicy, Networks};

use crate::{assert_all, assert_hosts};

#[test]
fn http_needs_to_be_allowed() {
    let policy = CallPolicy {
        allow_insecure_urls: true,
        ..CallPolicy::default()
    };
    assert_all(
        &policy,
        Ok(()),
        &[
            "http://example.com/",
            "HTTP://example.com/",
            "http://example.com:8080/",
            "http://8.8.8.8/",
            "https://example.com/",
        ],
    );
    // And opens nothing else.
    assert_all(
        &policy,
        Err(LocalName),
        &["http://localhost/", "https://localhost/", "http://a.local:8080/"],
    );
    assert_all(
        &policy,
        Err(Address(Loopback)),
        &["http://127.0.0.1/", "http://[::1]:8080/", "http://0x7f.1/"],
    );
    assert_all(&policy, Err(Spelling), &["http://0x08080808/"]);
}

#[test]
fn private_hosts_need_to_be_allowed() {
    let policy = CallPolicy {
        allow_private_hosts: true,
        ..CallPolicy::default()
    };
    assert_hosts(
        &policy,
        Ok(()),
        &[
            "localhost",
            "LOCALHOST",
            "app.localhost",
            "receiver",
            "receiver_1",
            "printer.local",
            "host.docker.internal",
            "127.0.0.1",
            "10.0.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "192.0.2.1",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:127.0.0.1]",
            "[64:ff9b::8.8.8.8]",
            "[2002:808:808::1]",
        ],
    );
    // No host has such an address, and nobody writes a host like that.
    assert_hosts(
        &policy,
        Err(Address(Multicast)),
        &["224.0.0.1", "[ff02::1]", "[::ffff:224.0.0.1]"],
    );
    assert_hosts(
        &policy,
        Err(Address(Reserved)),
        &["255.255.255.255", "240.0.0.1", "[100::1]"],
    );
    assert_hosts(
        &policy,
        Err(Spelling),
        &["127.1", "0x7f000001", "2130706433", "localhost.", "local%68ost"],
    );
    assert_all(&policy, Err(Insecure), &["http://localhost/", "http://127.0.0.1/"]);
}

#[test]
fn networks_can_be_allowed_one_by_one() {
    let policy = CallPolicy {
        allow_networks: "10.20.0.0/16, 127.0.0.2,fd00:20::/32, 64:ff9b::/96 ,".parse().unwrap(),
        ..CallPolicy::default()
    };
    assert_hosts(
        &policy,
        Ok(()),
        &[
            "10.20.0.1",
            "10.20.255.255",
            "127.0.0.2",
            "[fd00:20::1]",
            "[::ffff:10.20.0.1]",
            "[64:ff9b::8.8.8.8]",
            "8.8.8.8",
            // Their addresses are judged when they are called.
            "receiver",
            "receiver.local",
            "localhost",
        ],
    );
    assert_hosts(
        &policy,
        Err(Address(Private)),
        &["10.21.0.1", "10.19.255.255", "192.168.0.1", "[fd00:21::1]"],
    );
    assert_hosts(&policy, Err(Address(Loopback)), &["127.0.0.1", "127.0.0.3", "[::1]"]);
    assert_hosts(&policy, Err(Address(LinkLocal)), &["169.254.169.254", "[fe80::1]"]);
    assert_hosts(&policy, Err(Spelling), &["10.1310721"]);

    for text in ["10.20.0.0/33", "10.20", "ten", "10.0.0.0/8;127.0.0.1", "localhost"] {
        assert!(text.parse::<Networks>().is_err(), "{text}");
    }
    assert!(" , ".parse::<Networks>().unwrap().is_empty());
}
