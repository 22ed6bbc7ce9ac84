//! Types of body members: each says in its error what it should be.

use std::fmt;

use grantex_core::clock::Timestamp;
use grantex_core::policy::Change;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Text of a length, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text<const MIN: usize, const MAX: usize>(pub String);

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Text<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Counting is needed only where bytes and characters may differ.
        let is_fitting = text.len() >= MIN
            && (text.len() <= MAX || text.chars().count() <= MAX)
            && (MIN <= 1 || text.chars().count() >= MIN);
        if is_fitting {
            Ok(Self(text))
        } else {
            Err(D::Error::custom(Length::<MIN, MAX>))
        }
    }
}

/// Text that is not only white space, of a length before it is trimmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NonBlank<const MAX: usize>(pub String);

impl<'de, const MAX: usize> Deserialize<'de> for NonBlank<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::<1, MAX>::deserialize(deserializer)?.0;
        let trimmed = text.trim();
        if trimmed.is_empty() {
            Err(D::Error::custom("must not be blank"))
        } else {
            Ok(Self(trimmed.to_owned()))
        }
    }
}

struct Length<const MIN: usize, const MAX: usize>;

impl<const MIN: usize, const MAX: usize> fmt::Display for Length<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if MIN == 0 {
            write!(f, "must be at most {MAX} characters")
        } else {
            write!(f, "must be {MIN} to {MAX} characters")
        }
    }
}

/// Reads an optional member that may be absent, but not null.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads an optional member that null empties.
pub(crate) fn clearable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Change<T>, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.map_or(Change::Clear, Change::Set))
}

/// An optional member that may be null as well.
pub(crate) type Nullable<T> = Option<T>;

/// An e-mail address in lower case: something, an `@`, and a domain with a dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EmailAddress(pub String);

impl<'de> Deserialize<'de> for EmailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let email = text.trim().to_lowercase();
        let is_plausible = email.chars().count() <= 254
            && !email.chars().any(|c| c.is_whitespace() || c.is_control())
            && email.split_once('@').is_some_and(|(local, domain)| {
                let labels = domain.split('.').count();
                !local.is_empty()
                    && labels >= 2
                    && domain.split('.').all(|label| !label.is_empty())
                    && !domain.contains('@')
            });
        if is_plausible {
            Ok(Self(email))
        } else {
            Err(D::Error::custom("must be an e-mail address of at most 254 characters"))
        }
    }
}

/// A point in time, in the form of RFC 3339.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instant(pub(crate) Timestamp);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse_rfc3339(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom("must be an RFC 3339 date-time"))
    }
}

/// A member of newer clients that this server does not serve. Accepting and dropping it would let a developer believe that a
/// restriction holds, so only what says nothing is accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NotServed;

impl<'de> Deserialize<'de> for NotServed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if says_nothing(&value) {
            Ok(Self)
        } else {
            Err(D::Error::custom("is not served by this server"))
        }
    }
}

/// A member that may only hold one value, or nothing.
pub(crate) trait OnlyValue {
    /// The value.
    const VALUE: &'static str;
}

/// A member of newer clients of which one value is served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Only<V>(std::marker::PhantomData<V>);

impl<'de, V: OnlyValue> Deserialize<'de> for Only<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if says_nothing(&value) || value == V::VALUE {
            Ok(Self(std::marker::PhantomData))
        } else {
            Err(D::Error::custom(format_args!(
                "must be {}: no other value is served by this server",
                V::VALUE
            )))
        }
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
