//! Which URLs and addresses may be called.

use std::net::IpAddr;
use std::str::FromStr;

use grantex_core::webhook::address::{is_host_name, is_public_name, special};
use grantex_core::webhook::target::{MAX_URL_LENGTH, UrlPolicy, UrlRefusal};
use ipnet::IpNet;
use url::{Host, Url};

/// Networks that may be called although they are not public, for example `10.20.0.0/16`.
///
/// Read from text: networks or single addresses, separated by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether an address is in one of the networks. IPv4 addresses in their IPv6-mapped form count as what they map to.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is neither a network nor an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it must be a comma-separated list of addresses and networks such as 10.20.0.0/16; {0:?} is neither")]
pub struct NetworksError(String);

impl FromStr for Networks {
    type Err = NetworksError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                part.parse::<IpNet>()
                    .or_else(|_| part.parse::<IpAddr>().map(IpNet::from))
                    .map_err(|_| NetworksError(part.to_owned()))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// The rules about what may be called. The default is the strictest: `https`, and public hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallPolicy {
    /// Whether `http` URLs may be called too.
    pub allow_insecure_urls: bool,
    /// Whether hosts of private networks, the own machine and cloud metadata services may be called. For development.
    pub allow_private_hosts: bool,
    /// Networks that may be called although they are not public: for receivers in one's own network, without opening the rest.
    pub allow_networks: Networks,
}

impl CallPolicy {
    /// Whether an address may be connected to.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.check_address(address).is_ok()
    }

    /// Reads a URL that may be called.
    ///
    /// The text must be one that every parser reads alike: what the URL standard would repair is refused.
    ///
    /// # Errors
    /// Why it may not be called.
    pub fn parse(&self, text: &str) -> Result<Url, UrlRefusal> {
        // A longer text is not even counted.
        let is_too_long = text.len() > 4 * MAX_URL_LENGTH || text.chars().count() > MAX_URL_LENGTH;
        if text.is_empty() || is_too_long {
            return Err(UrlRefusal::Length);
        }
        let is_repaired = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
        if text.contains(is_repaired) {
            return Err(UrlRefusal::Malformed);
        }
        let url = Url::parse(text).map_err(|_| UrlRefusal::Malformed)?;
        self.check_scheme(&url)?;
        let authority = authority(text).ok_or(UrlRefusal::Malformed)?;
        // `@` alone makes empty user information, which the parser drops.
        if authority.contains('@') {
            return Err(UrlRefusal::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlRefusal::Fragment);
        }
        if !matches!(url.port_or_known_default(), Some(80 | 443 | 1024..)) {
            return Err(UrlRefusal::Port);
        }
        self.check_host(&url, authority)?;
        Ok(url)
    }

    fn check_scheme(&self, url: &Url) -> Result<(), UrlRefusal> {
        match (url.scheme(), self.allow_insecure_urls) {
            ("https", _) | ("http", true) => Ok(()),
            (_, true) => Err(UrlRefusal::Scheme),
            (_, false) => Err(UrlRefusal::Insecure),
        }
    }

    fn check_host(&self, url: &Url, authority: &str) -> Result<(), UrlRefusal> {
        match url.host().ok_or(UrlRefusal::Malformed)? {
            Host::Ipv4(address) => {
                self.check_address(address.into())?;
                // `0x8080808`, `8.8.2056` and the like are one address to us and may be another to the next reader.
                let is_plain = without_port(authority) == address.to_string();
                is_plain.then_some(()).ok_or(UrlRefusal::Spelling)
            }
            Host::Ipv6(address) => self.check_address(address.into()),
            Host::Domain(name) => {
                let has_final_dot = name.ends_with('.');
                let name = name.trim_end_matches('.');
                // With networks opened, a local name may be a receiver in one of them; its addresses tell.
                let must_be_public = !self.allow_private_hosts && self.allow_networks.is_empty();
                if must_be_public && !is_public_name(name) {
                    return Err(UrlRefusal::LocalName);
                }
                if has_final_dot || authority.contains('%') {
                    return Err(UrlRefusal::Spelling);
                }
                is_host_name(name).then_some(()).ok_or(UrlRefusal::Malformed)
            }
        }
    }

    fn check_address(&self, address: IpAddr) -> Result<(), UrlRefusal> {
        match special(address) {
            None => Ok(()),
            Some(kind) if kind.is_never_a_host() => Err(UrlRefusal::Address(kind)),
            Some(_) if self.allow_private_hosts || self.allow_networks.contain(address) => Ok(()),
            Some(kind) => Err(UrlRefusal::Address(kind)),
        }
    }
}

impl UrlPolicy for CallPolicy {
    fn check(&self, url: &str) -> Result<(), UrlRefusal> {
        self.parse(url).map(|_| ())
    }
}

/// The authority as it is written: what follows `//`, up to path or query. The URL standard takes any number of slashes, and
/// none, for two; that is repair as well.
fn authority(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(':')?;
    let rest = rest.strip_prefix("//").filter(|rest| !rest.starts_with('/'))?;
    rest.split(['/', '?', '#']).next()
}

fn without_port(authority: &str) -> &str {
    authority.split_once(':').map_or(authority, |(host, _)| host)
}
