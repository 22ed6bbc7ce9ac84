//! Rate limits: what is counted, for whom, and what a decision looks like.
//!
//! [`Limiter`] is the port; [`Gcra`] keeps its state in this process. A limiter shared by several servers would implement the
//! same port.

mod gcra;
mod memory;

use std::net::IpAddr;
use std::num::NonZeroU32;

use grantex_core::id::DeveloperId;

pub use gcra::Gcra;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// All requests of an address.
    Ip,
    /// Signups of an address.
    Signup,
    /// Key rotations of an address.
    KeyRotation,
    /// Principal sessions opened by an address.
    PrincipalSessions,
    /// Consent pages and decisions of an address.
    Consent,
    /// Tests of channels by an address.
    ChannelTests,
    /// Wrong keys presented by an address.
    FailedKeys,
    /// Scrapes of an address.
    Metrics,
    /// Calls of a developer.
    Developer,
    /// Authorization requests of a developer.
    Authorize,
    /// Questions of a developer about revocations.
    RevocationStatus,
    /// Questions of a developer to the revocation feed, its streams and what is reported of it.
    RevocationFeed,
}

impl Bucket {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Ip,
        Self::Signup,
        Self::KeyRotation,
        Self::PrincipalSessions,
        Self::Consent,
        Self::ChannelTests,
        Self::FailedKeys,
        Self::Metrics,
        Self::Developer,
        Self::Authorize,
        Self::RevocationStatus,
        Self::RevocationFeed,
    ];
}

/// How much each bucket allows in a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimits {
    /// Whether anything is refused; if not, the headers are sent all the same.
    pub is_enabled: bool,
    /// All requests of an address.
    pub ip: NonZeroU32,
    /// Signups of an address.
    pub signup: NonZeroU32,
    /// Key rotations of an address.
    pub key_rotation: NonZeroU32,
    /// Principal sessions opened by an address.
    pub principal_sessions: NonZeroU32,
    /// Consent pages and decisions of an address.
    pub consent: NonZeroU32,
    /// Tests of channels by an address.
    pub channel_tests: NonZeroU32,
    /// Wrong keys presented by an address.
    pub failed_keys: NonZeroU32,
    /// Scrapes of an address.
    pub metrics: NonZeroU32,
    /// Calls of a developer.
    pub developer: NonZeroU32,
    /// Authorization requests of a developer.
    pub authorize: NonZeroU32,
    /// Questions of a developer about revocations.
    pub revocation_status: NonZeroU32,
    /// Questions of a developer to the revocation feed, its streams and what is reported of it.
    pub revocation_feed: NonZeroU32,
    /// How many addresses and developers are remembered; the one not seen for longest is forgotten first.
    pub remembered: NonZeroU32,
}

impl RateLimits {
    /// The allowance of a bucket in a minute.
    pub const fn per_minute(&self, bucket: Bucket) -> NonZeroU32 {
        match bucket {
            Bucket::Ip => self.ip,
            Bucket::Signup => self.signup,
            Bucket::KeyRotation => self.key_rotation,
            Bucket::PrincipalSessions => self.principal_sessions,
            Bucket::Consent => self.consent,
            Bucket::ChannelTests => self.channel_tests,
            Bucket::FailedKeys => self.failed_keys,
            Bucket::Metrics => self.metrics,
            Bucket::Developer => self.developer,
            Bucket::Authorize => self.authorize,
            Bucket::RevocationStatus => self.revocation_status,
            Bucket::RevocationFeed => self.revocation_feed,
        }
    }
}

const fn number(value: u32) -> NonZeroU32 {
    match NonZeroU32::new(value) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            is_enabled: true,
            ip: number(5_000),
            signup: number(30),
            key_rotation: number(5),
            principal_sessions: number(10),
            consent: number(60),
            channel_tests: number(10),
            failed_keys: number(60),
            metrics: number(10),
            developer: number(3_000),
            authorize: number(600),
            revocation_status: number(60_000),
            revocation_feed: number(12_000),
            remembered: number(100_000),
        }
    }
}

/// Who is counted: an address or a developer, in 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Caller(u128);

impl Caller {
    /// A client address. IPv6 counts by /64, because one subscriber has all of it.
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self(v6.to_bits() & !u128::from(u64::MAX)),
        }
    }

    /// A developer: the 128 bits of its id's ULID.
    pub fn developer(id: &DeveloperId) -> Self {
        let digits = id.as_str().bytes().skip(DeveloperId::PREFIX.len() + 1);
        Self(digits.fold(0, |bits, digit| (bits << 5) | u128::from(crockford(digit))))
    }
}

const fn crockford(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'A'..=b'H' => digit - b'A' + 10,
        b'J' | b'K' => digit - b'J' + 18,
        b'M' | b'N' => digit - b'M' + 20,
        b'P'..=b'T' => digit - b'P' + 22,
        b'V'..=b'Z' => digit - b'V' + 27,
        _ => 0,
    }
}

/// What a limiter says about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The allowance in a minute.
    pub limit: u32,
    /// What is left of it now.
    pub remaining: u32,
    /// Seconds until all of it is there again.
    pub reset: u64,
    /// Seconds until the next request may pass; `None` when this one does.
    pub retry_after: Option<u64>,
}

/// Counts requests.
pub trait Limiter: Send + Sync + 'static {
    /// Takes one from the caller's allowance.
    fn take(&self, bucket: Bucket, caller: Caller) -> Decision;

    /// Whether [`Limiter::take`] would refuse now; takes nothing.
    fn is_exhausted(&self, bucket: Bucket, caller: Caller) -> Option<Decision>;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn ipv6_counts_by_subscriber_and_mapped_ipv4_as_ipv4() {
        let caller = |text: &str| Caller::address(text.parse().unwrap());
        assert_eq!(caller("2001:db8:1:2::1"), caller("2001:db8:1:2:ffff::9"));
        assert_ne!(caller("2001:db8:1:2::1"), caller("2001:db8:1:3::1"));
        assert_eq!(caller("::ffff:192.0.2.1"), caller("192.0.2.1"));
        assert_ne!(caller("192.0.2.1"), caller("192.0.2.2"));
    }

    #[test]
    fn developers_differ_in_every_character() {
        let alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let seen: std::collections::HashSet<u8> = alphabet.bytes().map(crockford).collect();
        assert_eq!(seen, (0..32).collect());
        let developer = |last: char| {
            Caller::developer(&DeveloperId::parse(&format!("dev_01ARZ3NDEKTSV4RRFFQ69G5FA{last}")).unwrap())
        };
        assert_ne!(developer('V'), developer('W'));
    }
}
