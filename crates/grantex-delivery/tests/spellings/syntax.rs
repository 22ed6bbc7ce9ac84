//! What is no URL, or not one that could be called.

use grantex_core::webhook::target::UrlPolicy;
use grantex_core::webhook::target::UrlRefusal::{Fragment, Insecure, Length, Malformed, Port, Scheme, UserInfo};

use crate::{assert_all, open, strict};

#[test]
fn other_schemes_are_refused() {
    let others = [
        "ftp://example.com/",
        "ws://example.com/",
        "wss://example.com/",
        "file:///etc/passwd",
        "file://example.com/etc/passwd",
        "gopher://example.com/_x",
        "javascript:alert(1)",
        "data:text/html,x",
        "mailto:hooks@example.com",
        "unix:/var/run/docker.sock",
        "blob:https://example.com/x",
        "view-source:https://example.com/",
        "jar:https://example.com!/x",
        "dict://example.com:11211/",
        "ldap://example.com/",
        "httpss://example.com/",
        "https+unix://example.com/",
        "example.com:443/",
        "localhost:8080/",
        "urn:isbn:1",
        "about:blank",
    ];
    assert_all(&strict(), Err(Insecure), &others);
    assert_all(
        &strict(),
        Err(Insecure),
        &[
            "http://example.com/",
            "HTTP://example.com/",
            "hTTp://example.com:443/",
            "http:example.com",
            "http://localhost/",
        ],
    );
    assert_all(&open(), Err(Scheme), &others);
}

#[test]
fn what_parsers_repair_is_refused() {
    let urls = [
        // Relative, or nothing.
        "example.com",
        "example.com/webhook",
        "//example.com/webhook",
        "/webhook",
        "webhook",
        "?",
        "#",
        ".",
        ":",
        "://example.com/",
        "1https://example.com/",
        "https",
        // Without a host.
        "https:",
        "https:/",
        "https://",
        "https:///",
        "https://?x",
        "https://#x",
        "https://:443/",
        "https://:8443",
        "https://@/",
        // One slash, three, none.
        "https:example.com",
        "https:/example.com/",
        "https:///example.com/",
        "https:////example.com/",
        "https:@example.com/",
        "https:127.0.0.1",
        // Backslashes.
        "https:\\\\example.com\\",
        "https:\\/example.com/",
        "https:/\\example.com/",
        "https://example.com\\@127.0.0.1/",
        "https://127.0.0.1\\@example.com/",
        "https://example.com\\.evil.example/",
        "https://example.com/a\\b",
        // White space and control characters, anywhere.
        " https://example.com/",
        "https://example.com/ ",
        "\thttps://example.com/",
        "\nhttps://example.com/",
        "https://example.com/\n",
        "https://example.com/\r\nHost: 127.0.0.1",
        "https://example.com/a b",
        "https://exam ple.com/",
        "https://exam\tple.com/",
        "https://exam\nple.com/",
        "https://127.0.\n0.1/",
        "ht\ntps://example.com/",
        "ht\ttps://example.com/",
        "https:\n//example.com/",
        "https://example.com\0/",
        "https://example.com/\0",
        "https://example.com\u{7f}/",
        "https://example.com/\u{85}",
        "https://example.com/\u{a0}",
        "https://example.com\u{2003}/",
        "https://example.com/\u{2028}",
        "https://example.com/\u{3000}",
        "\u{feff}https://example.com/",
        // Hosts that no name can be.
        "https://exa<mple.com/",
        "https://exa>mple.com/",
        "https://exa^mple.com/",
        "https://exa|mple.com/",
        "https://exa[mple.com/",
        "https://exa!mple.com/",
        "https://exa$mple.com/",
        "https://exa&mple.com/",
        "https://exa'mple.com/",
        "https://exa(mple.com/",
        "https://exa*mple.com/",
        "https://exa+mple.com/",
        "https://exa,mple.com/",
        "https://exa;mple.com/",
        "https://exa=mple.com/",
        "https://exa`mple.com/",
        "https://exa{mple.com/",
        "https://exa~mple.com/",
        "https://exa\"mple.com/",
        "https://*.example.com/",
        "https://-example.com/",
        "https://example-.com/",
        "https://.example.com/",
        "https://example..com/",
        "https://xn--.example.com/",
        "https://xn--a.example.com/",
        "https://exa%mple.com/",
        "https://exa%zzmple.com/",
        "https://exa%00mple.com/",
        "https://exa%20mple.com/",
        "https://exa%2fmple.com/",
        "https://exa%40mple.com/",
        "https://exa%23mple.com/",
        "https://exa%5cmple.com/",
        "https://exa%ffmple.com/",
        "https://\u{ad}/",
        "https://a\u{200d}b.example/",
        // Labels and names that are too long.
        "https://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example/",
        // Ports that are none.
        "https://example.com:x/",
        "https://example.com:-1/",
        "https://example.com:65536/",
        "https://example.com:99999999999/",
        "https://example.com:80:80/",
        "https://example.com:4４3/",
        "https://example.com:0x1bb/",
        "https://example.com:44 3/",
        // Numbers that are no IPv4 address.
        "https://256.1.1.1/",
        "https://1.1.1.256/",
        "https://1.1.1.1.1/",
        "https://127.0.0.1.1/",
        "https://4294967296/",
        "https://0x100000000/",
        "https://1.16777216/",
        "https://1.1.65536/",
        "https://0xg.1.1.1/",
        "https://8.8.8.08x.8/",
        "https://08.8.8.8/",
        "https://example.1/",
        "https://example.0x7f/",
        "https://1..1.1/",
        // Brackets that hold no IPv6 address.
        "https://[]/",
        "https://[::1/",
        "https://::1/",
        "https://::1]/",
        "https://[::1]x/",
        "https://[::1]:x/",
        "https://[::1].example.com/",
        "https://[127.0.0.1]/",
        "https://[example.com]/",
        "https://[1:2:3:4:5:6:7]/",
        "https://[1:2:3:4:5:6:7:8:9]/",
        "https://[::1::2]/",
        "https://[12345::1]/",
        "https://[g::1]/",
        "https://[:::1]/",
        "https://[::ffff:256.0.0.1]/",
        "https://[::ffff:127.0.0]/",
        "https://[::ffff:0x7f.0.0.1]/",
        "https://[::ffff:127.0.0.01]/",
        "https://[v1.x]/",
        // Zones belong to one machine.
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[fe80::1%251]/",
        "https://[2606:4700:4700::1111%25eth0]/",
        "https://[::1%2525lo]/",
    ];
    assert_all(&strict(), Err(Malformed), &urls);
    assert_all(&open(), Err(Malformed), &urls);
}

#[test]
fn user_information_is_refused() {
    let urls = [
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://user:@example.com/",
        "https://:password@example.com/",
        "https://:@example.com/",
        "https://@example.com/",
        "https://example.com@1.1.1.1/",
        "https://example.com@127.0.0.1/",
        "https://example.com:443@127.0.0.1/",
        "https://1.1.1.1@example.com/",
        "https://a@b@example.com/",
        "https://a%40b@example.com/",
        "https://%40@example.com/",
        "https://example.com%2f@127.0.0.1/",
        "https://[::1]@example.com/",
        "https://user@[::1]/",
        "https://;@example.com/",
        "https://ü@example.com/",
    ];
    assert_all(&strict(), Err(UserInfo), &urls);
    assert_all(&open(), Err(UserInfo), &urls);
}

#[test]
fn fragments_are_refused() {
    let urls = [
        "https://example.com/#",
        "https://example.com/#part",
        "https://example.com#part",
        "https://example.com#@127.0.0.1/",
        "https://example.com/?x#y",
        "https://127.0.0.1#@example.com/",
    ];
    assert_all(&strict(), Err(Fragment), &urls);
    assert_all(&open(), Err(Fragment), &urls);
}

#[test]
fn ports_of_other_services_are_refused() {
    for port in [
        "0", "00", "1", "7", "19", "21", "22", "23", "25", "53", "79", "81", "110", "143", "389", "442", "444", "445",
        "465", "587", "636", "993", "1023", "01023",
    ] {
        for host in ["example.com", "8.8.8.8", "[2606:4700:4700::1111]"] {
            let url = format!("https://{host}:{port}/");
            assert_eq!(strict().check(&url), Err(Port), "{url}");
            assert_eq!(open().check(&url), Err(Port), "{url}");
        }
    }
}

#[test]
fn length_is_counted_in_characters() {
    let of_length = |length: usize| format!("https://example.com/{}", "ü".repeat(length - 20));
    assert_eq!(strict().check(&of_length(2_048)), Ok(()));
    assert_eq!(strict().check(&of_length(2_049)), Err(Length));
    assert_eq!(strict().check(&of_length(1_000_000)), Err(Length));
    assert_eq!(strict().check(&"\0".repeat(2_049)), Err(Length));
    assert_eq!(strict().check(""), Err(Length));
}
