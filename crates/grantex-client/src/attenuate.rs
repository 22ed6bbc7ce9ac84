//! Narrowing a Biscuit before it is handed on.

use grantex_biscuit::narrow::{NarrowError, narrow, read_unverified};
use grantex_core::clock::Timestamp;
use grantex_core::secret::Secret;
use grantex_core::token::biscuit::{Ceiling, Effective, Narrowing};

/// Takes something away from a Biscuit, without asking anybody.
///
/// Everything that is said must be narrower than what the token allows, or the token is not made. It is not verified: that is for
/// whoever is shown it.
///
/// ```no_run
/// # fn example(token: &str) -> Result<(), grantex_client::NarrowError> {
/// use grantex_client::{Attenuate, Timestamp};
///
/// let narrowed = Attenuate::new(token)?
///     .scopes(["calendar:read"])
///     .expires_at(Timestamp::from_millis(1_772_370_000_000))
///     .hand_to("did:web:sub.example")
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Attenuate {
    token: Secret<String>,
    whole: Effective,
    by: Narrowing,
}

impl Attenuate {
    /// Begins with a token.
    ///
    /// # Errors
    /// [`NarrowError::Malformed`] when it is none.
    pub fn new(token: &str) -> Result<Self, NarrowError> {
        let chain = read_unverified(token).ok_or(NarrowError::Malformed)?;
        Ok(Self {
            token: Secret::new(token.to_owned()),
            whole: chain.effective(),
            by: Narrowing::default(),
        })
    }

    /// What the token allows now, if it is good.
    pub const fn whole(&self) -> &Effective {
        &self.whole
    }

    /// Leaves only these scopes; each must be one of the token's.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.by.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Ends earlier, at this whole second; milliseconds are cut off.
    #[must_use]
    pub const fn expires_at(mut self, end: Timestamp) -> Self {
        self.by.expires_at = Some(end.floor_to_second());
        self
    }

    /// Is for this audience only.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.by.audience = Some(audience.into());
        self
    }

    /// Allows to spend no more than this at once, in the smallest unit of the currency.
    #[must_use]
    pub fn ceiling(mut self, amount: u64, currency: impl Into<String>) -> Self {
        self.by.ceilings.push(Ceiling {
            currency: currency.into(),
            amount: i64::try_from(amount).unwrap_or(i64::MAX),
        });
        self
    }

    /// Hands it to the agent with this DID, who acts from then on. Counts as one delegation.
    #[must_use]
    pub fn hand_to(mut self, did: impl Into<String>) -> Self {
        self.by.agent_did = Some(did.into());
        self
    }

    /// The narrowed token.
    ///
    /// # Errors
    /// When nothing was said, or something that is not narrower, or the token has as many blocks as it may have.
    pub fn build(self) -> Result<Secret<String>, NarrowError> {
        narrow(self.token.expose(), &self.by)
    }
}
