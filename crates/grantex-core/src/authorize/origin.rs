//! Where a decision came from, as evidence for the audit chain.

use std::net::IpAddr;

use serde_json::{Map, Value};

/// Characters of a user agent that are kept: browsers send up to about 250.
const MAX_USER_AGENT: usize = 256;

/// The browser that decided: its address and what it calls itself. Neither proves who sat there, but both help to tell a person's
/// decision from one that the developer made in their name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    address: IpAddr,
    user_agent: Option<String>,
}

impl Origin {
    /// Keeps at most 256 characters of the user agent, and none that would steer a terminal or reorder a line of text.
    pub fn new(address: IpAddr, user_agent: Option<&str>) -> Self {
        let kept = |text: &str| -> String { text.chars().filter(is_plain).take(MAX_USER_AGENT).collect() };
        Self {
            address: address.to_canonical(),
            user_agent: user_agent.map(kept).filter(|text| !text.trim().is_empty()),
        }
    }

    /// Adds the members `clientAddress` and `userAgent` to an entry's metadata; the latter only when it is known.
    pub(crate) fn describe(&self, metadata: &mut Map<String, Value>) {
        metadata.insert("clientAddress".to_owned(), self.address.to_string().into());
        if let Some(user_agent) = &self.user_agent {
            metadata.insert("userAgent".to_owned(), user_agent.clone().into());
        }
    }
}

fn is_plain(character: &char) -> bool {
    let is_invisible = matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    );
    !character.is_control() && !is_invisible
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn described(address: IpAddr, user_agent: Option<&str>) -> Value {
        let mut metadata = Map::new();
        Origin::new(address, user_agent).describe(&mut metadata);
        Value::Object(metadata)
    }

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn it_is_described_by_address_and_user_agent() {
        assert_eq!(
            described(HOME, Some("Mozilla/5.0 (X11; Linux x86_64)")),
            serde_json::json!({"clientAddress": "127.0.0.1", "userAgent": "Mozilla/5.0 (X11; Linux x86_64)"})
        );
        let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
        assert_eq!(
            described(mapped, None),
            serde_json::json!({"clientAddress": "192.0.2.1"})
        );
        let six = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
        assert_eq!(
            described(six, Some(" \u{7}")),
            serde_json::json!({"clientAddress": "2001:db8::1"})
        );
    }

    #[test]
    fn a_long_or_steering_user_agent_is_cut_down() {
        let long = described(HOME, Some(&"é".repeat(5_000)));
        assert_eq!(long["userAgent"], "é".repeat(MAX_USER_AGENT));
        let steering = described(HOME, Some("a\u{1b}[2Jb\r\nc\0d\u{202e}e"));
        assert_eq!(steering["userAgent"], "a[2Jbcde");
    }

    proptest! {
        #[test]
        fn whatever_a_browser_sends_stays_short_and_plain(sent in ".{0,600}") {
            let told = described(HOME, Some(&sent));
            let kept = told.get("userAgent").and_then(Value::as_str).unwrap_or_default();
            prop_assert!(kept.chars().count() <= MAX_USER_AGENT);
            prop_assert!(kept.chars().all(|character| is_plain(&character)));
        }
    }
}
