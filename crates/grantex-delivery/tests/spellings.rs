//! Several hundred ways to write a URL, and what is said to each. Nothing here is resolved or contacted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use grantex_core::webhook::address::Special;
use grantex_core::webhook::target::{UrlPolicy, UrlRefusal};
use grantex_delivery::{CallPolicy, DeliverySettings};

use Special::{
    Benchmark, Cloud, Documentation, Embedded, LinkLocal, Loopback, Multicast, Private, Protocol, Reserved, Shared,
    Unspecified,
};
use UrlRefusal::{Address, Fragment, Insecure, Length, LocalName, Malformed, Port, Scheme, Spelling, UserInfo};

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

#[test]
fn names_of_local_networks_are_refused() {
    assert_hosts(
        &strict(),
        Err(LocalName),
        &[
            "localhost",
            "LOCALHOST",
            "LocalHost",
            "localhost.",
            "localhost..",
            "ｌｏｃａｌｈｏｓｔ",
            "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
            "%6cocalhost",
            "%6C%6F%63%61%6C%68%6F%73%74",
            "local%68ost",
            "lo\u{ad}calhost",
            "app.localhost",
            "a.b.c.localhost",
            "app.localhost.",
            "app.LOCALHOST",
            "app。localhost",
            "app%2elocalhost",
            "localhost.localdomain",
            "localhost6.localdomain6.internal",
            "receiver",
            "receiver.",
            "kubernetes",
            "com",
            "router.lan",
            "printer.local",
            "printer.LOCAL.",
            "nas.home",
            "nas.home.arpa",
            "wiki.corp",
            "wiki.intranet",
            "wiki.private",
            "metadata.google.internal",
            "METADATA.google.internal.",
            "instance-data.ec2.internal",
            "host.docker.internal",
            "gateway.docker.internal",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "1.0.0.127.in-addr.arpa",
            "ipv4only.arpa",
            "expyuzz4wqqyqhjn.onion",
            "name.alt",
        ],
    );
}

#[test]
fn hosts_in_a_spelling_of_their_own_are_refused() {
    let hosts = [
        // One of the public addresses, in other words.
        "134744072",
        "0x08080808",
        "0X08080808",
        "01002004010",
        "0000000000001002004010",
        "8.8.2056",
        "8.526344",
        "8.8.8.010",
        "8.8.010.8",
        "010.010.010.010",
        "0x8.0x8.0x8.0x8",
        "0x8.8.8.8",
        "8.8.8.8.",
        "8.8.8.8..",
        "127.0.0.1..",
        "８.８.８.８",
        "8。8。8。8",
        "8.8.8.%38",
        "%38.8.8.8",
        "⑧.⑧.⑧.⑧",
        "1.1",
        // Names.
        "example.com.",
        "example.com..",
        "EXAMPLE.com.",
        "ex%61mple.com",
        "%65%78%61%6d%70%6c%65.com",
        "example%2ecom",
        "exampl%C3%A9.com",
    ];
    assert_hosts(&strict(), Err(Spelling), &hosts);
    assert_hosts(&open(), Err(Spelling), &hosts);
}

#[test]
fn private_addresses_are_refused_in_every_spelling() {
    assert_hosts(
        &strict(),
        Err(Address(Loopback)),
        &[
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "127.0.1",
            "127.000.000.001",
            "127.255.255.254",
            "2130706433",
            "2130706433.",
            "0x7f000001",
            "0X7F000001",
            "0x7f.1",
            "0x7f.0.0.1",
            "0x7f.0x0.0x0.0x1",
            "0x0000007f000001",
            "017700000001",
            "0177.1",
            "0177.0.0.1",
            "0177.0.0.01",
            "00000177.0.0.1",
            "127.0x1",
            "127.0.0x1",
            "127.01",
            "１２７.０.０.１",
            "127。0。0。1",
            "127．0．0．1",
            "127｡0｡0｡1",
            "①②⑦.⓪.⓪.①",
            "%31%32%37.0.0.1",
            "127%2e0%2e0%2e1",
            "127.0.0.%31",
            "0%78%37%66.1",
            "1\u{ad}27.0.0.1",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[0000:0000:0000:0000:0000:0000:0000:0001]",
            "[::0.0.0.1]",
            "[::ffff:127.0.0.1]",
            "[::FFFF:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:7f00:0001]",
            "[::127.0.0.1]",
            "[::7f00:1]",
            "[::ffff:0:127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[0064:FF9B:0000:0000:0000:0000:7F00:0001]",
            "[2002:7f00:1::]",
            "[2002:7f00:0001::1]",
        ],
    );
    assert_hosts(
        &strict(),
        Err(Address(Private)),
        &[
            "10.0.0.1",
            "10.1",
            "10.255.255.255",
            "012.1",
            "0xa.1",
            "167772161",
            "172.16.0.1",
            "172.31.255.255",
            "0xac.0x10.1",
            "2886729729",
            "192.168.0.1",
            "192.168.1",
            "192.168.257",
            "0300.0250.1.1",
            "0xc0a80101",
            "3232235777",
            "[fc00::1]",
            "[fd00::1]",
            "[fd00:ec2::254]",
            "[FDFF::1]",
            "[fec0::1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:192.168.1.1]",
            "[::ffff:c0a8:101]",
            "[::ac10:1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:a00:1::1]",
            "[2002:c0a8:101::]",
        ],
    );
    assert_hosts(
        &strict(),
        Err(Address(LinkLocal)),
        &[
            "169.254.169.254",
            "169.254.43518",
            "169.16689662",
            "2852039166",
            "0xa9fea9fe",
            "0xa9.254.0251.0xfe",
            "0251.0376.0251.0376",
            "025177524776",
            "169.254.169.254.",
            "169.254.170.2",
            "[fe80::1]",
            "[FE80::A9FE:A9FE]",
            "[febf::1]",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[::a9fe:a9fe]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::]",
        ],
    );
    assert_hosts(
        &strict(),
        Err(Address(Unspecified)),
        &[
            "0.0.0.0",
            "0",
            "00",
            "0x0",
            "0x",
            "0.0",
            "0.0.0",
            "000000000000",
            "0.1.2.3",
            "1",
            "255",
            "[::]",
            "[0:0:0:0:0:0:0:0]",
            "[::0.0.0.0]",
            "[::ffff:0.0.0.0]",
            "[::ffff:0:0]",
            "[64:ff9b::]",
            "[2002::]",
        ],
    );
}

#[test]
fn addresses_that_are_set_aside_are_refused() {
    let kinds: [(Special, &[&str]); 8] = [
        (
            Shared,
            &[
                "100.64.0.1",
                "100.127.255.255",
                "100.100.100.200",
                "0x64646464",
                "[::ffff:100.64.0.1]",
            ],
        ),
        (
            Cloud,
            &[
                "168.63.129.16",
                "0xa83f8110",
                "2822734096",
                "[::ffff:168.63.129.16]",
                "[2002:a83f:8110::]",
            ],
        ),
        (
            Documentation,
            &[
                "192.0.2.1",
                "198.51.100.7",
                "203.0.113.255",
                "0xc0000201",
                "[2001:db8::1]",
                "[3fff::1]",
                "[3fff:fff::1]",
                "[::ffff:192.0.2.1]",
            ],
        ),
        (
            Benchmark,
            &["198.18.0.1", "198.19.255.255", "0306.022.0.1", "[::ffff:198.18.0.1]"],
        ),
        (
            Protocol,
            &[
                "192.0.0.1",
                "192.0.0.192",
                "192.0.0.9",
                "192.88.99.1",
                "192.31.196.1",
                "192.52.193.1",
                "192.175.48.1",
                "[2001:2::1]",
                "[2001:10::1]",
                "[2001:20::1]",
                "[2001:1::1]",
                "[2001:1ff::1]",
                "[2620:4f:8000::1]",
            ],
        ),
        (
            Embedded,
            &[
                "[::ffff:8.8.8.8]",
                "[::8.8.8.8]",
                "[::ffff:0:8.8.8.8]",
                "[64:ff9b::8.8.8.8]",
                "[64:ff9b:1::1]",
                "[64:ff9b:1:ffff::8.8.8.8]",
                "[2002:808:808::1]",
                "[2001::1]",
                "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
            ],
        ),
        (
            Multicast,
            &[
                "224.0.0.1",
                "224.0.0.251",
                "239.255.255.255",
                "0xe0000001",
                "[ff02::1]",
                "[ff0e::1]",
                "[::ffff:224.0.0.1]",
                "[2002:e000:1::]",
            ],
        ),
        (
            Reserved,
            &[
                "240.0.0.1",
                "255.255.255.255",
                "4294967295",
                "0xffffffff",
                "037777777777",
                "255.255.255.255.",
                "[::ffff:255.255.255.255]",
                "[100::1]",
                "[5f00::1]",
                "[4000::1]",
                "[1000::1]",
                "[fe00::1]",
                "[64:ff9b:2::1]",
                "[0:1::]",
            ],
        ),
    ];
    for (kind, hosts) in kinds {
        assert_hosts(&strict(), Err(Address(kind)), hosts);
    }
}

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
        assert!(text.parse::<grantex_delivery::Networks>().is_err(), "{text}");
    }
    assert!(" , ".parse::<grantex_delivery::Networks>().unwrap().is_empty());
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
