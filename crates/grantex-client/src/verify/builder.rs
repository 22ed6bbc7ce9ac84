//! Making a verifier.

use std::sync::Arc;
use std::time::Duration;

use grantex_core::clock::{Clock, Lifetime, SystemClock};

use crate::keys::{CacheSettings, KeyCache};
use crate::revocation::RevocationCheck;
use crate::secure::SetupError;
use crate::verify::memory::Memory;
use crate::verify::{Parts, Verifier};
use crate::wire::{Reach, Service, reach_settings};

/// The longest leeway: beyond it, an end would not mean much.
const LONGEST_LEEWAY: Duration = Duration::from_secs(10 * 60);

/// Settings of a [`Verifier`].
#[derive(Clone)]
pub struct VerifierBuilder {
    reach: Reach,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Duration,
    keys: CacheSettings,
    remembered: usize,
    clock: Arc<dyn Clock>,
    revocation: RevocationCheck,
}

impl VerifierBuilder {
    pub(crate) fn new(address: String) -> Self {
        Self {
            reach: Reach {
                address,
                api_key: None,
                is_insecure_allowed: false,
                ca_file: None,
                deadline: Duration::from_secs(5),
            },
            issuer: None,
            audience: None,
            leeway: Duration::from_secs(60),
            keys: CacheSettings {
                max_age: Duration::from_secs(5 * 60),
                max_stale: Duration::from_secs(60 * 60),
                cool_down: Duration::from_secs(10),
            },
            remembered: 10_000,
            clock: Arc::new(SystemClock::new()),
            revocation: RevocationCheck::Offline,
        }
    }

    /// The `iss` of the tokens, byte for byte. By default the address without a slash at its end.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Who we are: tokens must be for exactly this audience. Without it, only tokens for no audience are accepted.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// How far clocks may be apart: so much after its end a token still counts, and so much before it was made. 60 seconds by default,
    /// 10 minutes at most.
    #[must_use]
    pub const fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How revoked tokens are found out. By default they are not: [`RevocationCheck::Offline`].
    #[must_use]
    pub fn revocation(mut self, check: impl Into<RevocationCheck>) -> Self {
        self.revocation = check.into();
        self
    }

    /// After how long keys are fetched again: until then, a key that was withdrawn counts. 5 minutes by default.
    #[must_use]
    pub const fn keys_max_age(mut self, age: Duration) -> Self {
        self.keys.max_age = age;
        self
    }

    /// How old keys may be that are used because the issuer cannot be reached. One hour by default.
    #[must_use]
    pub const fn keys_max_stale(mut self, age: Duration) -> Self {
        self.keys.max_stale = age;
        self
    }

    /// The least time between two fetches of one key set, whatever keys tokens name. 10 seconds by default.
    #[must_use]
    pub const fn keys_cool_down(mut self, pause: Duration) -> Self {
        self.keys.cool_down = pause;
        self
    }

    /// How many tokens are remembered that were verified before; 10,000 by default, each some kilobytes. 0 remembers none.
    #[must_use]
    pub const fn remembered_tokens(mut self, count: usize) -> Self {
        self.remembered = count;
        self
    }

    reach_settings! {
        /// How long fetching keys may take; 5 seconds by default.
        deadline,
        /// Allows plain `http` to other machines: whoever is between can then make up keys.
        allow_insecure_http
    }

    /// Another clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The verifier. Fetches nothing yet.
    ///
    /// # Errors
    /// When the address or a setting cannot be, or TLS cannot be set up.
    pub fn build(self) -> Result<Verifier, SetupError> {
        if self.leeway > LONGEST_LEEWAY {
            return Err(SetupError::Setting("the leeway may be 10 minutes at most"));
        }
        let service = Service::new(&self.reach)?;
        let issuer = self
            .issuer
            .unwrap_or_else(|| self.reach.address.trim().trim_end_matches('/').to_owned());
        let millis = i64::try_from(self.leeway.as_millis()).unwrap_or(i64::MAX);
        Ok(Verifier(Arc::new(Parts {
            issuer,
            audience: self.audience,
            leeway: Lifetime::millis(millis),
            jwt_keys: KeyCache::new(
                service.clone(),
                [".well-known", "jwks.json"],
                Arc::clone(&self.clock),
                self.keys,
            ),
            #[cfg(feature = "biscuit")]
            biscuit_keys: KeyCache::new(
                service,
                [".well-known", "biscuit-keys.json"],
                Arc::clone(&self.clock),
                self.keys,
            ),
            clock: self.clock,
            memory: Memory::new(self.remembered),
            revocation: self.revocation,
        })))
    }
}
