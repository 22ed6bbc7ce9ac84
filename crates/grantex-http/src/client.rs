//! Who calls: the client's address, and which proxies may speak for it.

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";
const MAX_HOPS: usize = 16;

/// Which proxies may name the client in `X-Forwarded-For`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TrustProxy {
    /// None: the peer is the client.
    #[default]
    Nobody,
    /// This many proxies stand in front of the server, 1 to 16.
    Hops(usize),
    /// Proxies in these networks.
    Networks(Vec<IpNet>),
}

/// Why a `TRUST_PROXY` was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustProxyError {
    /// It would trust every client to name itself.
    #[error("it must not trust everybody")]
    TooBroad,
    /// It is neither a number nor a list of networks.
    #[error("it must be a number of proxies from 1 to {MAX_HOPS}, or a comma-separated list of addresses and networks")]
    Malformed,
}

impl TrustProxy {
    /// Reads the configured form: a number of hops, or a comma-separated list of addresses and networks.
    ///
    /// # Errors
    /// [`TrustProxyError::TooBroad`] for what would let every client choose its own address.
    pub fn parse(text: &str) -> Result<Self, TrustProxyError> {
        let text = text.trim();
        if text.is_empty() || text == "0" || text.eq_ignore_ascii_case("false") {
            return Ok(Self::Nobody);
        }
        if text == "*" || text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("all") {
            return Err(TrustProxyError::TooBroad);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let hops = text.parse().map_err(|_| TrustProxyError::Malformed)?;
            return if (1..=MAX_HOPS).contains(&hops) {
                Ok(Self::Hops(hops))
            } else {
                Err(TrustProxyError::Malformed)
            };
        }
        text.split(',')
            .map(network)
            .collect::<Result<_, _>>()
            .map(Self::Networks)
    }

    /// The client's address.
    pub fn client_of(&self, request: &HttpRequest) -> IpAddr {
        let peer = request
            .peer_addr()
            .map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip())
            .to_canonical();
        if *self == Self::Nobody {
            return peer;
        }
        let headers = request.headers();
        let named: Vec<&str> = headers
            .get_all(FORWARDED_FOR)
            .filter_map(|value| value.to_str().ok())
            .flat_map(|v| v.split(','))
            .collect();
        self.client_behind(peer, &named)
    }

    /// `named` is the list of `X-Forwarded-For`; the proxy nearest to us wrote the last entry.
    fn client_behind(&self, peer: IpAddr, named: &[&str]) -> IpAddr {
        let mut client = peer;
        for (depth, entry) in named.iter().rev().enumerate() {
            let may_speak = match self {
                Self::Nobody => false,
                Self::Hops(hops) => depth < *hops,
                Self::Networks(networks) => networks.iter().any(|network| network.contains(&client)),
            };
            if !may_speak {
                break;
            }
            // An entry that is no address ends the chain: what stands before it was written by nobody we know.
            let Some(address) = address(entry) else { break };
            client = address;
        }
        client
    }
}

fn network(text: &str) -> Result<IpNet, TrustProxyError> {
    let text = text.trim();
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => text
            .parse::<IpAddr>()
            .map(IpNet::from)
            .map_err(|_| TrustProxyError::Malformed)?,
    };
    if network.prefix_len() == 0 {
        Err(TrustProxyError::TooBroad)
    } else {
        Ok(network)
    }
}

/// Some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let parsed = bare
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    parsed.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn broad_trust_is_refused() {
        for text in ["true", "*", "0.0.0.0/0", "10.0.0.1, ::/0", "ALL"] {
            assert_eq!(TrustProxy::parse(text), Err(TrustProxyError::TooBroad), "{text}");
        }
        for text in [
            "17",
            "99999999999999999999",
            "-1",
            "loopback",
            "10.0.0.0/33",
            "10.0.0.1,",
        ] {
            assert_eq!(TrustProxy::parse(text), Err(TrustProxyError::Malformed), "{text}");
        }
        assert_eq!(TrustProxy::parse(""), Ok(TrustProxy::Nobody));
        assert_eq!(TrustProxy::parse("2"), Ok(TrustProxy::Hops(2)));
    }

    #[test]
    fn the_peer_is_the_client_unless_a_proxy_is_trusted() {
        let peer = ip("192.0.2.9");
        assert_eq!(TrustProxy::Nobody.client_behind(peer, &["198.51.100.7"]), peer);
        let proxies = TrustProxy::parse("10.0.0.0/8").unwrap();
        assert_eq!(proxies.client_behind(peer, &["198.51.100.7"]), peer);
    }

    #[test]
    fn only_the_hops_that_are_configured_are_believed() {
        let named = ["203.0.113.5", "198.51.100.7", "10.0.0.2"];
        assert_eq!(
            TrustProxy::Hops(1).client_behind(ip("10.0.0.1"), &named),
            ip("10.0.0.2")
        );
        assert_eq!(
            TrustProxy::Hops(2).client_behind(ip("10.0.0.1"), &named),
            ip("198.51.100.7")
        );
        assert_eq!(
            TrustProxy::Hops(16).client_behind(ip("10.0.0.1"), &named),
            ip("203.0.113.5")
        );
        assert_eq!(TrustProxy::Hops(1).client_behind(ip("10.0.0.1"), &[]), ip("10.0.0.1"));
    }

    #[test]
    fn the_first_address_outside_the_trusted_networks_is_the_client() {
        let proxies = TrustProxy::parse("10.0.0.0/8, ::1").unwrap();
        let named = ["203.0.113.5", "198.51.100.7:4711", "10.0.0.2"];
        assert_eq!(proxies.client_behind(ip("10.0.0.1"), &named), ip("198.51.100.7"));
        assert_eq!(
            proxies.client_behind(ip("10.0.0.1"), &["203.0.113.5", "nonsense"]),
            ip("10.0.0.1")
        );
        assert_eq!(
            proxies.client_behind(ip("::1"), &["[2001:db8::1]:80"]),
            ip("2001:db8::1")
        );
    }
}
