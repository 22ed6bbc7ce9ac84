//! Which addresses and names belong to the public internet.
//!
//! Pure: nothing is resolved here. Whoever calls out judges the addresses that a name resolved to, and connects to those only.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is that is not a public host's.
///
/// Prints as a noun: `a loopback address`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Special {
    /// No address, or one of "this network" (RFC 1122 §3.2.1.3).
    Unspecified,
    /// The machine itself.
    Loopback,
    /// A private network (RFC 1918, RFC 4193, and the site-local form that preceded it).
    Private,
    /// Shared between a carrier and its customers (RFC 6598).
    Shared,
    /// The link, where cloud providers keep credentials of machines (RFC 3927, RFC 4291 §2.5.6).
    LinkLocal,
    /// Public by number, but answered by a cloud provider's hypervisor to its own machines.
    Cloud,
    /// Set aside for examples (RFC 5737, RFC 3849, RFC 9637).
    Documentation,
    /// Set aside for measurements (RFC 2544).
    Benchmark,
    /// Set aside for protocols (RFC 6890 §2.2.2, RFC 2928).
    Protocol,
    /// An IPv4 address in IPv6 clothes: mapped, compatible, translated or tunnelled.
    Embedded,
    /// Many hosts, or none.
    Multicast,
    /// Not assigned to anybody, broadcast included.
    Reserved,
}

impl Special {
    /// Whether no host in any network, a private one included, has such an address.
    pub const fn is_never_a_host(self) -> bool {
        matches!(self, Self::Multicast | Self::Reserved)
    }
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "an address of a private network",
            Self::Shared => "an address of a carrier's inner network",
            Self::LinkLocal => "a link-local address",
            Self::Cloud => "an address of a cloud provider's inner network",
            Self::Documentation => "an address that is reserved for documentation",
            Self::Benchmark => "an address that is reserved for benchmarks",
            Self::Protocol => "an address that is reserved for protocols",
            Self::Embedded => "an IPv6 address that holds an IPv4 address",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> u32 {
    Ipv4Addr::new(a, b, c, d).to_bits()
}

/// The IANA registry of special-purpose IPv4 addresses, and what is special without being in it: network, prefix length.
///
/// The two anycast addresses in 192.0.0.0/24 are globally reachable; no web server answers there.
const IPV4: [(u32, u32, Special); 18] = [
    (v4(0, 0, 0, 0), 8, Special::Unspecified),
    (v4(10, 0, 0, 0), 8, Special::Private),
    (v4(100, 64, 0, 0), 10, Special::Shared),
    (v4(127, 0, 0, 0), 8, Special::Loopback),
    // Azure's, to its own machines (WireServer).
    (v4(168, 63, 129, 16), 32, Special::Cloud),
    (v4(169, 254, 0, 0), 16, Special::LinkLocal),
    (v4(172, 16, 0, 0), 12, Special::Private),
    (v4(192, 0, 0, 0), 24, Special::Protocol),
    (v4(192, 0, 2, 0), 24, Special::Documentation),
    (v4(192, 31, 196, 0), 24, Special::Protocol),
    (v4(192, 52, 193, 0), 24, Special::Protocol),
    (v4(192, 88, 99, 0), 24, Special::Protocol),
    (v4(192, 168, 0, 0), 16, Special::Private),
    (v4(192, 175, 48, 0), 24, Special::Protocol),
    (v4(198, 18, 0, 0), 15, Special::Benchmark),
    (v4(198, 51, 100, 0), 24, Special::Documentation),
    (v4(203, 0, 113, 0), 24, Special::Documentation),
    (v4(224, 0, 0, 0), 4, Special::Multicast),
];

const fn v6(a: u16, b: u16, c: u16) -> u128 {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_bits()
}

/// Special networks among IPv6 addresses; the first that matches counts. What is neither here nor in 2000::/3 is reserved: the
/// registry holds nothing else that is globally reachable, NAT64 apart.
const IPV6: [(u128, u32, Special); 10] = [
    // Teredo tunnels carry the client's IPv4 address.
    (v6(0x2001, 0, 0), 32, Special::Embedded),
    (v6(0x2001, 0, 0), 23, Special::Protocol),
    (v6(0x2001, 0x0db8, 0), 32, Special::Documentation),
    (v6(0x2620, 0x004f, 0x8000), 48, Special::Protocol),
    (v6(0x3fff, 0, 0), 20, Special::Documentation),
    // Translators of a network choose where in it the IPv4 address is (RFC 8215).
    (v6(0x0064, 0xff9b, 0x0001), 48, Special::Embedded),
    (v6(0xfc00, 0, 0), 7, Special::Private),
    (v6(0xfe80, 0, 0), 10, Special::LinkLocal),
    (v6(0xfec0, 0, 0), 10, Special::Private),
    (v6(0xff00, 0, 0), 8, Special::Multicast),
];

/// What keeps an address from being a public host's; `None` when nothing does.
///
/// An IPv6 address that holds an IPv4 address is never public, and is named by what it holds: `::ffff:127.0.0.1` is a loopback
/// address, `::ffff:8.8.8.8` an embedded one.
pub fn special(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// Whether an address is a public host's.
pub fn is_global(address: IpAddr) -> bool {
    special(address).is_none()
}

fn special_v4(address: Ipv4Addr) -> Option<Special> {
    let bits = address.to_bits();
    // 240.0.0.0/4, the broadcast address included.
    if bits >= v4(240, 0, 0, 0) {
        return Some(Special::Reserved);
    }
    IPV4.iter()
        .find(|(network, prefix, _)| (bits ^ network) >> (32 - prefix) == 0)
        .map(|(_, _, special)| *special)
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    if address == Ipv6Addr::LOCALHOST {
        return Some(Special::Loopback);
    }
    if let Some(inner) = embedded(address) {
        return Some(special_v4(inner).unwrap_or(Special::Embedded));
    }
    let bits = address.to_bits();
    let listed = IPV6
        .iter()
        .find(|(network, prefix, _)| (bits ^ network) >> (128 - prefix) == 0)
        .map(|(_, _, special)| *special);
    let is_unicast = bits >> 125 == 0b001;
    listed.or((!is_unicast).then_some(Special::Reserved))
}

/// The IPv4 address at a known place in an IPv6 address.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let low = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        // Compatible (RFC 4291 §2.5.5.1), the unspecified address among them; mapped (§2.5.5.2); translated (RFC 2765 §2.1).
        [0, 0, 0, 0, 0, 0, a, b] | [0, 0, 0, 0, 0, 0xffff, a, b] | [0, 0, 0, 0, 0xffff, 0, a, b] => Some(low(a, b)),
        // NAT64 (RFC 6052 §2.1).
        [0x0064, 0xff9b, 0, 0, 0, 0, a, b] => Some(low(a, b)),
        // 6to4 (RFC 3056 §2).
        [0x2002, a, b, ..] => Some(low(a, b)),
        _ => None,
    }
}

/// Whether a name is one that DNS can hold and hosts have: labels of letters, digits, `-` and `_`, in lower case, without the
/// final dot. The last label is no number (RFC 3696 §2), so that no name is mistaken for an IPv4 address.
pub fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        matches!(label.len(), 1..=63)
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    let ends_in_number = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(is_label) && !ends_in_number
}

/// Last labels of names that mean something in one network only, or nothing in DNS at all: RFC 6761 and 6762, RFC 8375 (under
/// `arpa`, which holds no web servers), RFC 7686, RFC 9476, what ICANN keeps for private use, and what routers and offices use.
const LOCAL_DOMAINS: [&str; 13] = [
    "alt",
    "arpa",
    "corp",
    "home",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
    "svc",
];

/// Whether a host name, in lower case and without the final dot, could be a public host's: more than one label, and not in a
/// domain that is local to some network.
///
/// A name that passes may still resolve to a private address: this refuses early what is certainly wrong, and protects nothing.
pub fn is_public_name(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, last)| !LOCAL_DOMAINS.contains(&last))
}

#[cfg(test)]
mod tests;
