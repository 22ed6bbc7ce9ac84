//! Verifying tokens without asking the service for each.

mod authorized;
mod builder;
mod error;
mod memory;
mod requirements;

use std::sync::Arc;

use grantex_core::clock::{Clock, Lifetime, Timestamp};
use grantex_core::token::claims::Claims;
use grantex_core::token::jwt::{GRANT_TOKEN_TYPE, Unverified};
use serde_json::{Map, Value};

pub use authorized::Authorized;
pub(crate) use authorized::Opened;
pub use builder::VerifierBuilder;
pub use error::VerifyError;
pub use requirements::Requirements;

use crate::keys::{JwtKeys, KeyCache, KeyFailure};
use crate::revocation::RevocationCheck;
use memory::{KeyName, Memory, Remembered};

/// Verifies grant tokens of one issuer, JWTs and Biscuits, with its published keys.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use grantex_client::{Requirements, Verifier};
///
/// let verifier = Verifier::builder("https://auth.example.com").audience("https://api.example.com").build()?;
/// let allowed = verifier.verify("eyJ…", &Requirements::new().scope("calendar:read")).await?;
/// println!("{} acts for {}", allowed.agent_did(), allowed.principal_id());
/// # Ok(())
/// # }
/// ```
///
/// What is looked at, in this order: form, type, signature, issuer, times, audience, revocation, and then what the call needs. A token that
/// was verified before costs a hash and a look into memory, some microseconds; another one its signatures, which the example `bench_verify`
/// measures. Clones share keys and memory. Needs a Tokio runtime with time and I/O.
#[derive(Clone)]
pub struct Verifier(Arc<Parts>);

pub(crate) struct Parts {
    issuer: String,
    audience: Option<String>,
    leeway: Lifetime,
    clock: Arc<dyn Clock>,
    jwt_keys: KeyCache<JwtKeys>,
    #[cfg(feature = "biscuit")]
    biscuit_keys: KeyCache<grantex_biscuit::PublicRootKeys>,
    memory: Memory,
    revocation: RevocationCheck,
}

impl Verifier {
    /// Begins a verifier of the service at this address, which is also the issuer of its tokens unless
    /// [`VerifierBuilder::issuer`] says otherwise.
    pub fn builder(address: impl Into<String>) -> VerifierBuilder {
        VerifierBuilder::new(address.into())
    }

    /// Verifies a token, and that it allows what the call needs.
    ///
    /// # Errors
    /// [`VerifyError::is_unavailable`] tells what is no fault of the token. Dropping the future loses nothing.
    pub async fn verify(&self, token: &str, requirements: &Requirements) -> Result<Authorized, VerifyError> {
        let opened = self.open(token).await?;
        self.judge_times(&opened)?;
        self.judge_audience(&opened, requirements.own_audience())?;
        self.0.revocation.check(&opened, token).await?;
        let authorized = Authorized::new(opened);
        requirements.judge(&authorized)?;
        Ok(authorized)
    }

    /// Whether a verified token allows what another call needs; looks at neither time nor revocation again.
    ///
    /// # Errors
    /// [`VerifyError::is_insufficient`] holds for all of them.
    pub fn allows(&self, authorized: &Authorized, requirements: &Requirements) -> Result<(), VerifyError> {
        if requirements.own_audience().is_some() {
            self.judge_audience(authorized.opened(), requirements.own_audience())?;
        }
        requirements.judge(authorized)
    }

    async fn open(&self, token: &str) -> Result<Arc<Opened>, VerifyError> {
        let fingerprint = Memory::fingerprint(token);
        let parts = &self.0;
        if let Some(known) = parts.memory.get(&fingerprint, parts.clock.now().minus(parts.leeway))
            && self.version_of(&known.key).await? == known.version
        {
            return Ok(known.opened);
        }
        // A JWT has dots, a Biscuit has none.
        let remembered = if token.contains('.') {
            self.open_jwt(token).await?
        } else {
            self.open_biscuit(token).await?
        };
        let opened = Arc::clone(&remembered.opened);
        parts.memory.put(fingerprint, remembered);
        Ok(opened)
    }

    async fn version_of(&self, key: &KeyName) -> Result<u64, VerifyError> {
        match key {
            KeyName::Jwt(kid) => Ok(self.0.jwt_keys.holding(kid).await?.version),
            #[cfg(feature = "biscuit")]
            KeyName::Biscuit(number) => Ok(self.0.biscuit_keys.holding(number).await?.version),
        }
    }

    async fn open_jwt(&self, token: &str) -> Result<Remembered, VerifyError> {
        let parsed = Unverified::parse(token).ok_or(VerifyError::Malformed)?;
        let kid: Arc<str> = parsed.key_id().ok_or(VerifyError::Malformed)?.into();
        let set = self.0.jwt_keys.holding(&kid).await?;
        let key = set.keys.get(&kid).ok_or(VerifyError::Malformed)?;
        if !parsed.is_signed_by(key) {
            return Err(VerifyError::Malformed);
        }
        let authentic = parsed.into_authentic().ok_or(VerifyError::Malformed)?;
        // Tokens of other kinds share the keys and must never pass for grant tokens.
        if authentic.typ.as_deref() != Some(GRANT_TOKEN_TYPE) {
            return Err(VerifyError::Malformed);
        }
        let opened = opened_jwt(authentic.claims, &self.0.issuer).ok_or(VerifyError::Malformed)?;
        Ok(Remembered {
            key: KeyName::Jwt(kid),
            version: set.version,
            opened: Arc::new(opened),
        })
    }

    #[cfg(not(feature = "biscuit"))]
    #[expect(clippy::unused_async, reason = "it waits for keys where Biscuits are verified")]
    async fn open_biscuit(&self, _: &str) -> Result<Remembered, VerifyError> {
        Err(VerifyError::Malformed)
    }

    #[cfg(feature = "biscuit")]
    async fn open_biscuit(&self, token: &str) -> Result<Remembered, VerifyError> {
        let number = grantex_biscuit::root_key_number(token).ok_or(VerifyError::Malformed)?;
        let set = self.0.biscuit_keys.holding(&number).await?;
        let chain = set.keys.open(token).ok_or(VerifyError::Malformed)?;
        if chain.root.issuer != self.0.issuer {
            return Err(VerifyError::Malformed);
        }
        let effective = chain.effective();
        let claims = Claims::read(chain.claims()).ok_or(VerifyError::Malformed)?;
        let opened = Opened {
            claims,
            not_before: None,
            biscuit: Some((chain, effective)),
        };
        Ok(Remembered {
            key: KeyName::Biscuit(number),
            version: set.version,
            opened: Arc::new(opened),
        })
    }

    fn judge_times(&self, opened: &Opened) -> Result<(), VerifyError> {
        let (now, leeway) = (self.0.clock.now(), self.0.leeway);
        if opened.claims.expires_at <= now.minus(leeway) {
            return Err(VerifyError::Expired);
        }
        let latest = now.plus(leeway);
        if opened.claims.issued_at > latest || opened.not_before.is_some_and(|at| at > latest) {
            return Err(VerifyError::NotYetValid);
        }
        Ok(())
    }

    /// A token that is for somebody is refused where nobody said who we are.
    fn judge_audience(&self, opened: &Opened, own: Option<&str>) -> Result<(), VerifyError> {
        let is_for_nobody = opened
            .biscuit
            .as_ref()
            .is_some_and(|(_, effective)| effective.is_for_nobody);
        let expected = own.or(self.0.audience.as_deref());
        if !is_for_nobody && opened.claims.audience.as_deref() == expected {
            Ok(())
        } else {
            Err(VerifyError::Audience)
        }
    }
}

impl From<KeyFailure> for VerifyError {
    fn from(failure: KeyFailure) -> Self {
        match failure {
            KeyFailure::Unknown => Self::Malformed,
            KeyFailure::Unavailable => Self::KeysUnavailable,
        }
    }
}

/// Reads the claims of an authentic JWT of this issuer.
fn opened_jwt(members: Map<String, Value>, issuer: &str) -> Option<Opened> {
    if members.get("iss")?.as_str()? != issuer {
        return None;
    }
    // What this service issues is one text; what cannot be compared must not count as none.
    let is_text = |name: &str| members.get(name).is_none_or(Value::is_string);
    if !is_text("aud") || !is_text("parentGrnt") {
        return None;
    }
    let not_before = match members.get("nbf") {
        None => None,
        Some(seconds) => Some(Timestamp::from_millis(seconds.as_i64()?.checked_mul(1000)?)),
    };
    Some(Opened {
        claims: Claims::read(members)?,
        not_before,
        biscuit: None,
    })
}
