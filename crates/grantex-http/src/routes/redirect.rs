//! Where browsers are sent after a decision.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::error::ApiError;

const MAX_LENGTH: usize = 2_048;

/// Checks a redirect URI: absolute, http or https, with a host and without user information; in production https, and no address
/// of a private network.
pub(super) fn check(text: &str, is_production: bool) -> Result<(), ApiError> {
    let refuse = |problem| Err(ApiError::field("redirectUri", problem));
    if text.is_empty() || text.chars().count() > MAX_LENGTH {
        return refuse("must be 1 to 2048 characters");
    }
    let Ok(url) = Url::parse(text) else {
        return refuse("must be an absolute http or https URL");
    };
    let has_user = !url.username().is_empty() || url.password().is_some();
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || has_user {
        return refuse("must be an absolute http or https URL without user information");
    }
    if is_production && url.scheme() != "https" {
        return refuse("must be an https URL");
    }
    if is_production && url.host().is_some_and(|host| is_private(&host)) {
        return refuse("must not point into a private network");
    }
    Ok(())
}

fn is_private(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(address) => is_private_v4(*address),
        Host::Ipv6(address) => is_private_v6(*address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || first == 0
        || (first == 100 && (64..128).contains(&second))
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_private_v4(mapped);
    }
    address.is_loopback() || address.is_unspecified() || address.is_unique_local() || address.is_unicast_link_local()
}

/// The redirect URI with the outcome in its query; what it already says about an outcome is replaced.
pub(super) fn with_outcome(redirect_uri: &str, outcome: (&str, &str), state: Option<&str>) -> Option<String> {
    let mut url = Url::parse(redirect_uri).ok()?;
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !matches!(&**name, "code" | "state" | "error"))
        .map(|(n, v)| (n.into_owned(), v.into_owned()))
        .collect();
    {
        let mut query = url.query_pairs_mut();
        query.clear().extend_pairs(kept).append_pair(outcome.0, outcome.1);
        if let Some(state) = state.filter(|state| !state.is_empty()) {
            query.append_pair("state", state);
        }
    }
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_uris_are_web_addresses() {
        for text in [
            "http://localhost:8080/cb",
            "https://app.example/cb?x=1",
            "http://127.0.0.1/",
        ] {
            assert!(check(text, false).is_ok(), "{text}");
        }
        for text in [
            "",
            "/cb",
            "javascript:alert(1)",
            "https://user@app.example/",
            "https://u:p@app.example/",
            "ftp://app.example/",
            "https://",
            "data:text/html,x",
        ] {
            assert!(check(text, false).is_err(), "{text}");
        }
        assert!(check(&format!("https://app.example/{}", "x".repeat(2_048)), false).is_err());
    }

    #[test]
    fn in_production_they_are_public() {
        assert!(check("https://app.example/cb", true).is_ok());
        for host in [
            "localhost",
            "app.localhost",
            "localhost.",
            "127.0.0.1",
            "127.1",
            "0x7f000001",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[fe80::1]",
            "[fd00::1]",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(check(&format!("https://{host}/cb"), true).is_err(), "{host}");
        }
        assert!(check("http://app.example/cb", true).is_err());
    }

    #[test]
    fn the_outcome_replaces_an_earlier_one() {
        let uri = "https://app.example/cb?a=b%20c&code=old&state=old&error=old#part";
        assert_eq!(
            with_outcome(uri, ("code", "new"), Some("s&t")).as_deref(),
            Some("https://app.example/cb?a=b+c&code=new&state=s%26t#part")
        );
        assert_eq!(
            with_outcome("https://app.example/cb", ("error", "access_denied"), Some("")).as_deref(),
            Some("https://app.example/cb?error=access_denied")
        );
    }
}
