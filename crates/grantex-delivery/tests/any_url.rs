//! Whatever text is given as a URL is judged, and what is accepted is harmless.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use grantex_core::webhook::address::{is_global, is_public_name};
use grantex_delivery::CallPolicy;
use proptest::prelude::*;
use url::Host;

/// Asserts what holds of every URL that is accepted by default.
fn check(text: &str) -> Result<(), TestCaseError> {
    let policy = CallPolicy::default();
    let Ok(url) = policy.parse(text) else {
        return Ok(());
    };
    prop_assert_eq!(url.scheme(), "https");
    prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    match url.host().unwrap() {
        Host::Ipv4(address) => prop_assert!(is_global(address.into()), "{text:?}"),
        Host::Ipv6(address) => prop_assert!(is_global(address.into()), "{text:?}"),
        Host::Domain(name) => prop_assert!(is_public_name(name) && name.is_ascii(), "{text:?}"),
    }
    // The client reads the serialized URL with another parser; both see the same host and port.
    let uri: http::Uri = url.as_str().parse().unwrap();
    prop_assert_eq!(uri.host(), url.host_str(), "{:?}", text);
    prop_assert_eq!(
        uri.port_u16().unwrap_or(443),
        url.port_or_known_default().unwrap(),
        "{:?}",
        text
    );
    // And what is accepted once is accepted in its serialized form, unless escapes made it too long.
    prop_assert!(
        url.as_str().len() > 2_048 || policy.parse(url.as_str()).as_ref() == Ok(&url),
        "{text:?}"
    );
    Ok(())
}

/// A piece of a host, from those that parsers disagree about.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9-]{1,8}",
        "\\PC{0,4}",
        any::<[u8; 4]>().prop_map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
        any::<u32>().prop_map(|number| number.to_string()),
        any::<u32>().prop_map(|number| format!("0x{number:x}")),
        any::<u32>().prop_map(|number| format!("0{number:o}")),
        any::<u8>().prop_map(|byte| format!("%{byte:02x}")),
        any::<u128>().prop_map(|bits| format!("[{}]", std::net::Ipv6Addr::from_bits(bits))),
        any::<u32>().prop_map(|bits| format!("[::ffff:{}]", std::net::Ipv4Addr::from_bits(bits))),
        prop::sample::select(vec![
            ".",
            "..",
            ":",
            "@",
            "/",
            "\\",
            "?",
            "#",
            "[",
            "]",
            "%",
            "。",
            "．",
            "ß",
            "\u{ad}",
            "\u{200d}",
            "１",
            "①",
            "127",
            "localhost",
            "local",
            "com",
            "example.com",
            "xn--",
            ":443",
            ":22",
            " ",
            "\t",
            "\n",
            "\0",
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_judged(text in ".{0,80}") {
        check(&text)?;
    }

    #[test]
    fn any_authority_is_judged(pieces in prop::collection::vec(piece(), 1..6), rest in "(/.{0,16})?") {
        check(&format!("https://{}{rest}", pieces.concat()))?;
    }

    #[test]
    fn any_path_of_a_public_host_can_be_called(path in "[^#\\\\\\s\\pC]{0,64}") {
        let url = format!("https://example.com/{path}");
        prop_assert!(CallPolicy::default().parse(&url).is_ok(), "{url:?}");
        check(&url)?;
    }

    #[test]
    fn an_address_is_accepted_if_and_only_if_it_is_global(four: [u8; 4], six: u128, use_six: bool, in_unicast: bool) {
        let six = if in_unicast { (six >> 3) | (1 << 125) } else { six };
        let address: std::net::IpAddr = if use_six { std::net::Ipv6Addr::from_bits(six).into() } else { four.into() };
        let url = match address {
            std::net::IpAddr::V4(address) => format!("https://{address}/"),
            std::net::IpAddr::V6(address) => format!("https://[{address}]/"),
        };
        prop_assert_eq!(CallPolicy::default().parse(&url).is_ok(), is_global(address), "{}", url);
        check(&url)?;
    }
}
