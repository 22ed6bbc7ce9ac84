use proptest::prelude::*;

use super::*;

fn of(text: &str) -> Option<Special> {
    special(text.parse().unwrap())
}

/// First and last address of every special network, and the addresses next to it where those are public.
#[test]
fn every_special_network_ends_where_the_registry_says() {
    use Special::*;
    for (before, first, last, after, kind) in [
        ("", "0.0.0.0", "0.255.255.255", "1.0.0.0", Unspecified),
        ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0", Private),
        ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0", Shared),
        ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0", Loopback),
        (
            "168.63.129.15",
            "168.63.129.16",
            "168.63.129.16",
            "168.63.129.17",
            Cloud,
        ),
        (
            "169.253.255.255",
            "169.254.0.0",
            "169.254.255.255",
            "169.255.0.0",
            LinkLocal,
        ),
        ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0", Private),
        ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0", Protocol),
        ("192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0", Documentation),
        (
            "192.31.195.255",
            "192.31.196.0",
            "192.31.196.255",
            "192.31.197.0",
            Protocol,
        ),
        (
            "192.52.192.255",
            "192.52.193.0",
            "192.52.193.255",
            "192.52.194.0",
            Protocol,
        ),
        (
            "192.88.98.255",
            "192.88.99.0",
            "192.88.99.255",
            "192.88.100.0",
            Protocol,
        ),
        (
            "192.167.255.255",
            "192.168.0.0",
            "192.168.255.255",
            "192.169.0.0",
            Private,
        ),
        (
            "192.175.47.255",
            "192.175.48.0",
            "192.175.48.255",
            "192.175.49.0",
            Protocol,
        ),
        (
            "198.17.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.20.0.0",
            Benchmark,
        ),
        (
            "198.51.99.255",
            "198.51.100.0",
            "198.51.100.255",
            "198.51.101.0",
            Documentation,
        ),
        (
            "203.0.112.255",
            "203.0.113.0",
            "203.0.113.255",
            "203.0.114.0",
            Documentation,
        ),
        ("223.255.255.255", "224.0.0.0", "239.255.255.255", "", Multicast),
        ("", "240.0.0.0", "255.255.255.255", "", Reserved),
        ("", "::", "::", "", Unspecified),
        ("", "::1", "::1", "", Loopback),
        (
            "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001::",
            "2001:0:ffff:ffff:ffff:ffff:ffff:ffff",
            "",
            Embedded,
        ),
        (
            "",
            "2001:1::",
            "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:200::",
            Protocol,
        ),
        (
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            Documentation,
        ),
        (
            "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2002:808:808::",
            "2002:808:808:ffff:ffff:ffff:ffff:ffff",
            "2003::",
            Embedded,
        ),
        (
            "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
            "2620:4f:8000::",
            "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
            "2620:4f:8001::",
            Protocol,
        ),
        (
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff::",
            "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
            Documentation,
        ),
        ("", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "", Embedded),
        ("", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", Private),
        ("", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", LinkLocal),
        ("", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", Private),
        ("", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", Multicast),
        ("", "100::", "100::ffff:ffff:ffff:ffff", "", Reserved),
        (
            "",
            "::1:0:0:0:0",
            "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2000::",
            Reserved,
        ),
        (
            "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "4000::",
            "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "",
            Reserved,
        ),
        ("", "6000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", Reserved),
        ("", "fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", Reserved),
    ] {
        assert_eq!(of(first), Some(kind), "{first}");
        assert_eq!(of(last), Some(kind), "{last}");
        for public in [before, after].into_iter().filter(|text| !text.is_empty()) {
            assert_eq!(of(public), None, "{public}");
        }
    }
}

#[test]
fn an_embedded_address_is_named_by_what_it_holds() {
    for (text, kind) in [
        ("::ffff:127.0.0.1", Special::Loopback),
        ("::ffff:7f00:1", Special::Loopback),
        ("::ffff:10.1.2.3", Special::Private),
        ("::ffff:169.254.169.254", Special::LinkLocal),
        ("::ffff:224.0.0.1", Special::Multicast),
        ("::ffff:8.8.8.8", Special::Embedded),
        ("::127.0.0.1", Special::Loopback),
        ("::2", Special::Unspecified),
        ("::8.8.8.8", Special::Embedded),
        ("::ffff:0:127.0.0.1", Special::Loopback),
        ("::ffff:0:8.8.8.8", Special::Embedded),
        ("64:ff9b::127.0.0.1", Special::Loopback),
        ("64:ff9b::a9fe:a9fe", Special::LinkLocal),
        ("64:ff9b::8.8.8.8", Special::Embedded),
        ("64:ff9b:1::8.8.8.8", Special::Embedded),
        ("2002:7f00:1::", Special::Loopback),
        ("2002:c0a8:101::1", Special::Private),
        ("2002:808:808::1", Special::Embedded),
    ] {
        assert_eq!(of(text), Some(kind), "{text}");
    }
}

#[test]
fn public_hosts_are_global() {
    for text in [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.215.14",
        "192.0.1.1",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "2a00:1450:4001:82a::200e",
        "2400:cb00::1",
    ] {
        assert!(is_global(text.parse().unwrap()), "{text}");
    }
}

#[test]
fn only_what_no_host_has_is_refused_in_private_networks_too() {
    let kinds = |text: &str| of(text).is_some_and(Special::is_never_a_host);
    for text in ["224.0.0.1", "255.255.255.255", "240.0.0.1", "ff02::1", "100::1"] {
        assert!(kinds(text), "{text}");
    }
    for text in [
        "127.0.0.1",
        "10.0.0.1",
        "0.0.0.0",
        "fd00::1",
        "::ffff:10.0.0.1",
        "192.0.2.1",
    ] {
        assert!(!kinds(text), "{text}");
    }
}

#[test]
fn host_names_are_labels_and_dots() {
    let label = "a".repeat(63);
    let longest = [label.as_str(), label.as_str(), label.as_str(), &"a".repeat(61)].join(".");
    for name in [
        "example.com",
        "a",
        "xn--exmple-cua.com",
        "_under.example.com",
        "a-b.example",
        "1.example",
        &label,
        &longest,
    ] {
        assert!(is_host_name(name), "{name}");
    }
    for name in [
        "",
        ".",
        "example.com.",
        ".example.com",
        "a..b",
        "-a.example",
        "a-.example",
        "a b",
        "a%2eb",
        "Example.com",
        "exämple.com",
        "a!b.example",
        "a,b.example",
        "1.1.1.1",
        "example.1",
        "7",
        &format!("{label}a.example"),
        &format!("{longest}a"),
    ] {
        assert!(!is_host_name(name), "{name}");
    }
}

#[test]
fn names_of_local_networks_are_not_public() {
    for name in [
        "localhost",
        "receiver",
        "app.localhost",
        "a.b.localhost",
        "printer.local",
        "metadata.google.internal",
        "router.home.arpa",
        "1.0.0.127.in-addr.arpa",
        "nas.lan",
        "api.default.svc",
        "api.default.svc.cluster.local",
        "hidden.onion",
    ] {
        assert!(!is_public_name(name), "{name}");
    }
    for name in [
        "example.com",
        "local.example.com",
        "localhost.example.com",
        "notlocalhost.com",
        "a.b.co.uk",
    ] {
        assert!(is_public_name(name), "{name}");
    }
}

proptest! {
    /// Against an independent reading: whatever the standard library calls special is special here.
    #[test]
    fn nothing_that_the_standard_library_knows_is_missed(bits: u32, high: u64, low: u64) {
        let four = Ipv4Addr::from_bits(bits);
        if four.is_private() || four.is_loopback() || four.is_link_local() || four.is_broadcast()
            || four.is_documentation() || four.is_multicast() || four.is_unspecified()
        {
            prop_assert!(!is_global(four.into()));
        }
        for six in [
            Ipv6Addr::from_bits((u128::from(high) << 64) | u128::from(low)),
            // Close to where the special ones are.
            Ipv6Addr::from_bits(u128::from(low)),
            four.to_ipv6_mapped(),
            four.to_ipv6_compatible(),
        ] {
            if six.is_loopback() || six.is_unspecified() || six.is_multicast() || six.is_unique_local()
                || six.is_unicast_link_local() || six.to_ipv4().is_some()
            {
                prop_assert!(!is_global(six.into()), "{six}");
            }
            prop_assert!(!is_global(six.into()) || six.segments()[0] >> 13 == 1);
        }
    }

    #[test]
    fn every_embedding_of_a_private_address_is_refused_by_its_name(last: u16) {
        let inner = Ipv4Addr::new(10, 0, last.to_be_bytes()[0], last.to_be_bytes()[1]);
        let [a, b] = [0x0a00, last];
        for six in [
            inner.to_ipv6_mapped(),
            inner.to_ipv6_compatible(),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
            Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, a, b),
        ] {
            prop_assert_eq!(special(six.into()), Some(Special::Private));
        }
    }
}
