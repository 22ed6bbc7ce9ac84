//! What a call needs.

use crate::scope::{covers, covers_amount};
use crate::verify::authorized::Authorized;
use crate::verify::error::VerifyError;

/// What is to be spent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spending {
    amount: i64,
    currency: String,
}

/// What a token must allow for one call. The default wants nothing but a good token.
///
/// ```
/// use grantex_client::Requirements;
///
/// let read = Requirements::new().scope("calendar:read");
/// let pay = Requirements::new().scope_up_to("payments:initiate", 120).spends(12_000, "EUR");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    scopes: Vec<String>,
    amounts: Vec<(String, u64)>,
    audience: Option<String>,
    agent_did: Option<String>,
    developer_id: Option<String>,
    spending: Option<Spending>,
}

impl Requirements {
    /// Nothing but a good token.
    pub fn new() -> Self {
        Self::default()
    }

    /// Needs this scope. A capped one, `…:max_100`, is covered by the same without a cap and by higher caps.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Needs all of these scopes.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Needs this scope up to an amount, in the unit that the caps of your scopes are in: `payments:initiate` or
    /// `payments:initiate:max_500`, for an amount of at most 500.
    #[must_use]
    pub fn scope_up_to(mut self, scope: impl Into<String>, amount: u64) -> Self {
        self.amounts.push((scope.into(), amount));
        self
    }

    /// Spends so much at once, in the smallest unit of the currency: looked at by the ceilings of Biscuits. A call that does not say
    /// what it spends spends nothing.
    #[must_use]
    pub fn spends(mut self, amount: u64, currency: impl Into<String>) -> Self {
        self.spending = Some(Spending {
            // Nobody can allow more than a ceiling can say.
            amount: i64::try_from(amount).unwrap_or(i64::MAX),
            currency: currency.into(),
        });
        self
    }

    /// The token must be for this audience, in place of that of the [`Verifier`](crate::Verifier).
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// This agent must act.
    #[must_use]
    pub fn agent(mut self, did: impl Into<String>) -> Self {
        self.agent_did = Some(did.into());
        self
    }

    /// The agent must be of this developer.
    #[must_use]
    pub fn developer(mut self, id: impl Into<String>) -> Self {
        self.developer_id = Some(id.into());
        self
    }

    pub(crate) fn own_audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// The scopes that are needed, as a challenge names them (RFC 6750 §3).
    pub(crate) fn named(&self) -> impl Iterator<Item = &str> {
        let capped = self.amounts.iter().map(|(scope, _)| scope.as_str());
        self.scopes.iter().map(String::as_str).chain(capped)
    }

    /// Whether a good token allows it.
    pub(crate) fn judge(&self, token: &Authorized) -> Result<(), VerifyError> {
        let is_other = |pin: &Option<String>, said: &str| pin.as_deref().is_some_and(|pin| pin != said);
        if is_other(&self.developer_id, token.developer_id()) {
            return Err(VerifyError::Developer);
        }
        if is_other(&self.agent_did, token.agent_did()) {
            return Err(VerifyError::Agent);
        }
        let has = |is_covered: &dyn Fn(&str) -> bool| token.scopes().iter().any(|granted| is_covered(granted));
        let missing = self.scopes.iter().find(|scope| !has(&|granted| covers(granted, scope)));
        let uncovered = || {
            let mut amounts = self.amounts.iter();
            amounts.find(|(scope, amount)| !has(&|granted| covers_amount(granted, scope, *amount)))
        };
        if let Some(scope) = missing.or_else(|| uncovered().map(|(scope, _)| scope)) {
            return Err(VerifyError::Scope(scope.clone()));
        }
        let is_kept = token.ceilings().iter().all(|ceiling| match &self.spending {
            // A ceiling in another currency cannot be compared, so it forbids.
            Some(spending) => spending.currency == ceiling.currency && spending.amount <= ceiling.amount,
            None => ceiling.amount >= 0,
        });
        if is_kept { Ok(()) } else { Err(VerifyError::Ceiling) }
    }
}
