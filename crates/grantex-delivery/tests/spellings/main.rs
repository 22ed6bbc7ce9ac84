//! Several hundred ways to write a URL, and what is said to each. Nothing here is resolved or contacted.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod hosts;
mod settings;
mod syntax;

use grantex_core::webhook::target::{UrlPolicy, UrlRefusal};
use grantex_delivery::{CallPolicy, DeliverySettings};

/// Asserts one verdict about many URLs.
fn assert_all(policy: &CallPolicy, expected: Result<(), UrlRefusal>, urls: &[&str]) {
    for url in urls {
        assert_eq!(policy.check(url), expected, "{url:?}");
    }
}

/// The same about hosts of an `https` URL.
fn assert_hosts(policy: &CallPolicy, expected: Result<(), UrlRefusal>, hosts: &[&str]) {
    for host in hosts {
        for url in [format!("https://{host}/hook"), format!("https://{host}:8443")] {
            assert_eq!(policy.check(&url), expected, "{url:?}");
        }
    }
}

fn strict() -> CallPolicy {
    DeliverySettings::default().policy()
}

fn open() -> CallPolicy {
    CallPolicy {
        allow_insecure_urls: true,
        allow_private_hosts: true,
        ..CallPolicy::default()
    }
}

#[test]
fn public_https_urls_are_accepted() {
    assert_all(
        &strict(),
        Ok(()),
        &[
            "https://example.com/webhook",
            "https://example.com",
            "https://example.com/",
            "https://example.com?x=1",
            "https://example.com/a/b/c?d=e&f=g",
            "https://example.com/a%20b",
            "https://example.com/a@b:c",
            "https://example.com/?next=https://127.0.0.1/",
            "https://example.com/http://localhost/",
            "https://example.com/../../etc/passwd",
            "https://example.com/%2e%2e/",
            "https://example.com/pfad/ü",
            "https://example.com/?q=ü",
            "https://example.com/;a=b,c",
            "https://example.com/[x]|{y}^`z`",
            "https://example.com/\"'<>",
            "HTTPS://EXAMPLE.COM/Webhook",
            "https://Example.Com/",
            "https://example.com:443/",
            "https://example.com:0443/",
            "https://example.com:80/",
            "https://example.com:1024/",
            "https://example.com:8443/",
            "https://example.com:65535/",
            "https://example.com:/",
            "https://a.b.c.d.e.f.example.com/",
            "https://hooks.example.co.uk/",
            "https://localhost.example.com/",
            "https://local.example.com/",
            "https://127.0.0.1.example.com/",
            "https://notlocalhost.com/",
            "https://xn--exmple-cua.com/",
            "https://exämple.com/",
            "https://例え.jp/",
            "https://EXÄMPLE.com/",
            "https://ｅｘａｍｐｌｅ.com/",
            "https://example。com/",
            "https://my_app.example.com/",
            "https://_hooks.example.com/",
            "https://a-b.example.com/",
            "https://1.example.com/",
            "https://1e100.net/",
            "https://0x7f.example.com/",
            // Names that resolve to private addresses look like any other: their addresses are judged when they are called.
            "https://127.0.0.1.nip.io/",
            "https://localtest.me/",
            "https://hooks.example.test/",
            "https://1.1.1.1/",
            "https://8.8.8.8:8443/hook",
            "https://[2606:4700:4700::1111]/",
            "https://[2606:4700:4700:0:0:0:0:1111]:8443/",
            "https://[2606:4700:4700::0.0.17.17]/",
            "https://[2A00:1450:4001:82A::200E]/",
        ],
    );
}

#[test]
fn refusals_name_their_reason() {
    for (url, text) in [
        ("", "must be 1 to 2048 characters"),
        (
            "hook",
            "must be an absolute URL with a valid host, without white space, control characters and backslashes",
        ),
        ("http://example.com/", "must be an https URL"),
        ("https://a@example.com/", "must not hold user information"),
        ("https://example.com/#a", "must not have a fragment"),
        (
            "https://example.com:25/",
            "must use port 80, 443, or one from 1024 to 65535",
        ),
        (
            "https://example.com./",
            "must name its host plainly: no percent-encoding, no final dot, IPv4 addresses as four decimal numbers",
        ),
        (
            "https://localhost/",
            "must name a public host, not one of a local network",
        ),
        ("https://127.1/", "must not point to a loopback address"),
        ("https://10.0.0.1/", "must not point to an address of a private network"),
        ("https://[fe80::1]/", "must not point to a link-local address"),
    ] {
        assert_eq!(strict().check(url).unwrap_err().to_string(), text, "{url}");
    }
    assert_eq!(
        open().check("ftp://example.com/").unwrap_err().to_string(),
        "must be an http or https URL"
    );
}
