//! Identifiers: a prefix, an underscore, and 26 Crockford base32 characters.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ulid::Ulid;

use crate::clock::Timestamp;
use crate::secret::Secret;

/// A source of unpredictable bytes.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes` from a cryptographically secure generator.
    fn fill(&self, bytes: &mut [u8]);
}

/// An identifier that can be made from a ULID.
pub trait Id: Sized {
    /// The identifier with this ULID behind its prefix.
    fn from_ulid(ulid: Ulid) -> Self;
}

/// A new time-ordered identifier: 48 bits of time, 80 random bits.
pub fn new_id<I: Id>(random: &dyn Random, now: Timestamp) -> I {
    I::from_ulid(new_ulid(random, now))
}

/// A new ULID.
pub fn new_ulid(random: &dyn Random, now: Timestamp) -> Ulid {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes);
    Ulid::from_parts(u64::try_from(now.as_millis()).unwrap_or(0), u128::from_be_bytes(bytes))
}

/// A new identifier of 128 random bits, for identifiers whose possession is a capability.
pub fn new_unguessable_id<I: Id>(random: &dyn Random) -> I {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes);
    I::from_ulid(Ulid::from(u128::from_be_bytes(bytes)))
}

/// A new bearer secret: `prefix` and 32 random bytes in unpadded base64url.
pub fn new_secret(random: &dyn Random, prefix: &str) -> Secret<String> {
    let mut bytes = [0_u8; 32];
    random.fill(&mut bytes);
    let mut text = String::with_capacity(prefix.len() + 43);
    text.push_str(prefix);
    URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
    zeroize::Zeroize::zeroize(&mut bytes);
    Secret::new(text)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text in front of the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Reads the wire form; `None` when the prefix or the 26 characters are not as they should be.
            pub fn parse(text: &str) -> Option<Self> {
                let rest = text.strip_prefix(concat!($prefix, "_"))?;
                is_ulid(rest).then(|| Self(text.to_owned()))
            }

            /// The wire form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Id for $name {
            fn from_ulid(ulid: Ulid) -> Self {
                Self(format!(concat!($prefix, "_{}"), ulid))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

id!(/// A developer: the tenant whose key calls the API.
    DeveloperId, "dev");
id!(/// An agent.
    AgentId, "ag");
id!(/// A request for consent. Possession allows the decision, so it is made of 128 random bits.
    AuthRequestId, "areq");
id!(/// A grant.
    GrantId, "grnt");
id!(/// A token: the `jti` of its JWT.
    TokenId, "tok");
id!(/// An audit entry.
    AuditId, "alog");
id!(/// An event.
    EventId, "evt");
id!(/// A policy.
    PolicyId, "pol");
id!(/// A bundle of policies.
    BundleId, "pbnd");
id!(/// A webhook endpoint.
    WebhookId, "wh");
id!(/// The delivery of one event to one webhook endpoint.
    DeliveryId, "whd");
id!(/// An anomaly.
    AnomalyId, "anm");
id!(/// A rule that a developer made to find anomalies.
    AnomalyRuleId, "arule");
id!(/// A channel through which people are told of anomalies.
    AnomalyChannelId, "achan");
id!(/// A time in which anomalies are not raised.
    AnomalyMuteId, "amute");

/// What DIDs of this server's agents begin with.
pub const DID_PREFIX: &str = "did:grantex:";

impl AgentId {
    /// The agent's decentralized identifier, `did:grantex:<agent id>`.
    pub fn did(&self) -> String {
        format!("{DID_PREFIX}{}", self.0)
    }
}

impl AnomalyChannelId {
    /// The endpoint that the channel is: the same ULID under the prefix of endpoints.
    pub fn endpoint(&self) -> WebhookId {
        WebhookId(self.0.replacen(Self::PREFIX, WebhookId::PREFIX, 1))
    }
}

impl WebhookId {
    /// The channel that the endpoint is, if it is one.
    pub fn channel(&self) -> AnomalyChannelId {
        AnomalyChannelId(self.0.replacen(Self::PREFIX, AnomalyChannelId::PREFIX, 1))
    }
}

impl AuditId {
    /// The ULID behind the prefix, when the id is well formed.
    pub fn ulid(&self) -> Option<Ulid> {
        Ulid::from_string(self.0.strip_prefix("alog_")?).ok()
    }
}

impl EventId {
    /// When the event happened, as the id tells it.
    pub fn time(&self) -> Option<Timestamp> {
        let ulid = Ulid::from_string(self.0.strip_prefix("evt_")?).ok()?;
        i64::try_from(ulid.timestamp_ms()).ok().map(Timestamp::from_millis)
    }
}

fn is_ulid(text: &str) -> bool {
    text.len() == 26
        && text.starts_with(|first: char| matches!(first, '0'..='7'))
        && text.bytes().all(
            |byte| matches!(byte, b'0'..=b'9' | b'A'..=b'H' | b'J' | b'K' | b'M' | b'N' | b'P'..=b'T' | b'V'..=b'Z'),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;
    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.iter_mut().zip(1_u8..).for_each(|(byte, value)| *byte = value);
        }
    }

    #[test]
    fn ids_round_trip_and_reject_other_shapes() {
        let id: GrantId = new_id(&Counting, Timestamp::from_millis(1_893_553_445_006));
        assert_eq!(GrantId::parse(id.as_str()), Some(id.clone()));
        assert_eq!(AgentId::parse(id.as_str()), None);
        for text in [
            "grnt_",
            "grnt_01",
            "grnt_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "grnt_01arz3ndektsv4rrffq69g5fav",
            "grnt_01ARZ3NDEKTSV4RRFFQ69G5FA\0",
        ] {
            assert_eq!(GrantId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_channel_and_its_endpoint_are_two_names_of_one() {
        let id: AnomalyChannelId = new_id(&Counting, Timestamp::from_millis(1_893_553_445_006));
        assert_eq!(WebhookId::parse(id.endpoint().as_str()), Some(id.endpoint()));
        assert_eq!(id.endpoint().channel(), id);
    }

    #[test]
    fn secrets_carry_256_random_bits() {
        assert_eq!(new_secret(&Counting, "ref_").expose().len(), 4 + 43);
    }
}
