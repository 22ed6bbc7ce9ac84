//! The port that says which URLs may be registered and called.

use super::address::Special;

/// The longest URL, in characters.
pub const MAX_URL_LENGTH: usize = 2_048;

/// Why a URL may not be called. The texts continue a sentence that begins with the field: "`url` must be an https URL".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefusal {
    /// Empty or too long.
    #[error("must be 1 to {MAX_URL_LENGTH} characters")]
    Length,
    /// Not a URL, not absolute, without a host, or with characters that parsers repair in different ways.
    #[error("must be an absolute URL with a valid host, without white space, control characters and backslashes")]
    Malformed,
    /// Another scheme than `https`.
    #[error("must be an https URL")]
    Insecure,
    /// Another scheme than `http` and `https`.
    #[error("must be an http or https URL")]
    Scheme,
    /// User information before the host.
    #[error("must not hold user information")]
    UserInfo,
    /// A fragment, which is never sent.
    #[error("must not have a fragment")]
    Fragment,
    /// A port where other services than web servers listen.
    #[error("must use port 80, 443, or one from 1024 to 65535")]
    Port,
    /// A host that is written unlike its canonical form, so that readers may take it for another.
    #[error("must name its host plainly: no percent-encoding, no final dot, IPv4 addresses as four decimal numbers")]
    Spelling,
    /// A name that only some local network knows.
    #[error("must name a public host, not one of a local network")]
    LocalName,
    /// An address that is not public.
    #[error("must not point to {0}")]
    Address(Special),
}

/// Says which URLs may be called; implemented by whoever calls them, so that both read a URL alike.
pub trait UrlPolicy: Send + Sync + 'static {
    /// Checks a URL as it is written. Nothing is resolved or contacted: a name that passes is judged by its addresses each time it
    /// is called.
    ///
    /// # Errors
    /// Why the URL may not be called.
    fn check(&self, url: &str) -> Result<(), UrlRefusal>;
}
