//! What an agent did, as far as rules want to know of it.

use std::fmt;
use std::net::IpAddr;

use crate::clock::Timestamp;
use crate::closed;
use crate::id::AgentId;

closed! {
    /// What happened.
    pub enum SignalKind {
        /// The developer logged an entry about the agent.
        AuditEntry = "audit_entry",
        /// An authorization request was opened, or could not be.
        Authorize = "authorize",
        /// The principal approved.
        Consent = "consent",
        /// A grant came into being. The exchange or delegation is a signal of its own.
        Grant = "grant",
        /// A code was exchanged, or could not be.
        Exchange = "exchange",
        /// Tokens were refreshed, or could not be.
        Refresh = "refresh",
        /// A token was verified.
        Verification = "verification",
        /// A grant was handed on.
        Delegation = "delegation",
        /// A grant or a token was revoked.
        Revocation = "revocation",
        /// A policy or the principal refused.
        Denial = "denial",
        /// A code was presented a second time.
        CodeReuse = "code_reuse",
        /// A refresh token was presented a second time.
        RefreshReuse = "refresh_reuse",
    }
}

/// Whom a signal is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An agent of this id; whether it is registered is for whoever folds the signal to find out.
    Agent(AgentId),
    /// Something that cannot be an agent's id.
    Unreadable,
    /// Nobody.
    None,
}

impl Subject {
    /// Whom a text names.
    pub fn named(text: &str) -> Self {
        if text.is_empty() {
            return Self::None;
        }
        AgentId::parse(text).map_or(Self::Unreadable, Self::Agent)
    }
}

/// The network that an address belongs to: its first 24 bits (IPv4) or 48 bits (IPv6). One site's servers share it, so that a
/// pool of addresses behind one exit does not look like several places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(u64);

/// Marks an IPv4 network; IPv6 prefixes of 48 bits never reach it.
const V4: u64 = 1 << 63;

impl Network {
    /// The network of an address. IPv4 addresses in their IPv6 form count as what they are.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(V4 | u64::from(address.to_bits() >> 8)),
            IpAddr::V6(address) => Self((address.to_bits() >> 80) as u64),
        }
    }

    /// The stored form.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Reads the stored form.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Display for Network {
    /// CIDR: `198.51.100.0/24`, `2001:db8:1::/48`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & V4 == 0 {
            let address = std::net::Ipv6Addr::from_bits(u128::from(self.0 & ((1 << 48) - 1)) << 80);
            return write!(f, "{address}/48");
        }
        let address = std::net::Ipv4Addr::from_bits((self.0 as u32) << 8);
        write!(f, "{address}/24")
    }
}

/// One thing that an agent did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// What.
    pub kind: SignalKind,
    /// Who.
    pub subject: Subject,
    /// When.
    pub at: Timestamp,
    /// Whether it failed or was refused.
    pub is_failure: bool,
    /// How many signals this one stands for: more than 1 when signals were sampled.
    pub weight: u32,
    /// For whom; empty when unknown.
    pub principal_id: String,
    /// Under which grant; empty when unknown.
    pub grant_id: String,
    /// With which token; empty when unknown.
    pub token_id: String,
    /// The scopes in question.
    pub scopes: Vec<String>,
    /// From where, as a verifier reported it.
    pub network: Option<Network>,
    /// How often the grant had been handed on.
    pub depth: u32,
    /// The developer, by its own decision or by deleting the agent, did this to the agent, not the agent or an attacker.
    pub is_routine: bool,
}

impl Signal {
    /// A signal without particulars.
    pub const fn new(kind: SignalKind, subject: Subject, at: Timestamp) -> Self {
        Self {
            kind,
            subject,
            at,
            is_failure: false,
            weight: 1,
            principal_id: String::new(),
            grant_id: String::new(),
            token_id: String::new(),
            scopes: Vec::new(),
            network: None,
            depth: 0,
            is_routine: false,
        }
    }

    /// An attempt that was refused; `named` is the agent that the caller named.
    pub fn refused(kind: SignalKind, named: Option<AgentId>, at: Timestamp) -> Self {
        Self {
            is_failure: true,
            ..Self::new(kind, named.map_or(Subject::None, Subject::Agent), at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    #[test]
    fn neighbours_share_a_network() {
        assert_eq!(network("198.51.100.7"), network("198.51.100.250"));
        assert_ne!(network("198.51.100.7"), network("198.51.101.7"));
        assert_eq!(network("::ffff:198.51.100.7"), network("198.51.100.7"));
        assert_eq!(network("2001:db8:1:2::3"), network("2001:db8:1:ffff::1"));
        assert_ne!(network("2001:db8:1::1"), network("2001:db8:2::1"));
        assert_eq!(network("198.51.100.7").to_string(), "198.51.100.0/24");
        assert_eq!(network("2001:db8:1:2::3").to_string(), "2001:db8:1::/48");
    }

    #[test]
    fn a_subject_is_an_agent_only_if_it_can_be_one() {
        assert_eq!(Subject::named(""), Subject::None);
        assert_eq!(Subject::named("ag_x"), Subject::Unreadable);
        let id = "ag_01ARZ3NDEKTSV4RRFFQ69G5FAV";
        assert_eq!(Subject::named(id), Subject::Agent(AgentId::parse(id).unwrap()));
    }
}
