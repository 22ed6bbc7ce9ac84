//! Tokens of an issuer of our own.

use std::sync::{Arc, LazyLock};

use grantex_biscuit::Biscuits;
use grantex_client::{RevocationCheck, Secret, Verifier, VerifierBuilder};
use grantex_core::clock::Lifetime;
use grantex_core::id::{DeveloperId, GrantId, TokenId};
use grantex_core::testing::ManualClock;
use grantex_core::token::biscuit::{BiscuitFormat as _, BiscuitKey, BiscuitKeys, Root};
use grantex_core::token::crypto::KeyPair;
use grantex_core::token::jwt;
use grantex_core::token::signer::{Algorithm, Verifier as _};
use serde_json::{Map, Value, json};

use crate::service::{Asked, Reply, Service, json as answer, text};

pub const ISSUER: &str = "https://auth.example";
pub const JWKS: &str = "/.well-known/jwks.json";
pub const BISCUIT_KEYS: &str = "/.well-known/biscuit-keys.json";

pub fn id(prefix: &str, number: u8) -> String {
    format!("{prefix}_01ARZ3NDEKTSV4RRFFQ69G5F{number:02}")
}

pub struct Issuer {
    pub pair: KeyPair,
    pub biscuits: Arc<dyn BiscuitKeys>,
}

/// One for all tests: keys are costly to make.
pub static ISSUING: LazyLock<Issuer> = LazyLock::new(|| Issuer::new(Algorithm::Es256));
pub static OTHER: LazyLock<Issuer> = LazyLock::new(|| Issuer::new(Algorithm::Rs256));

impl Issuer {
    fn new(algorithm: Algorithm) -> Self {
        let key = BiscuitKey::generate().unwrap();
        Self {
            pair: KeyPair::generate(algorithm).unwrap().0,
            biscuits: Biscuits::default().keys(std::slice::from_ref(&key), &key.kid).unwrap(),
        }
    }

    pub fn jwks(&self) -> Value {
        json!({"keys": [self.pair.jwk()]})
    }

    pub fn biscuit_keys(&self) -> Value {
        json!({"keys": self.biscuits.published()})
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(jwt::GRANT_TOKEN_TYPE, claims)
    }

    pub fn sign_as(&self, typ: &str, claims: &Value) -> String {
        jwt::sign(&self.pair, typ, &claims.to_string())
            .unwrap()
            .expose()
            .clone()
    }

    pub fn token(&self) -> String {
        self.sign(&claims())
    }

    pub fn biscuit(&self) -> String {
        self.biscuits.mint(&root()).unwrap().expose().clone()
    }

    /// Answers the public keys, and nothing else.
    pub fn published(&self, asked: &Asked) -> Reply {
        match asked.path() {
            JWKS => answer(200, &self.jwks()),
            BISCUIT_KEYS => answer(200, &self.biscuit_keys()),
            _ => text(404, ""),
        }
    }
}

pub fn claims() -> Value {
    let now = ManualClock::START.as_seconds();
    json!({
        "iss": ISSUER, "sub": "user-1", "jti": id("tok", 1), "iat": now, "exp": now + 3_600,
        "scope": "read payments:initiate:max_500", "scp": ["read", "payments:initiate:max_500"],
        "agt": format!("did:grantex:{}", id("ag", 1)), "dev": id("dev", 1), "grnt": id("grnt", 1),
    })
}

pub fn claims_with(changes: Value) -> Value {
    let mut members: Map<String, Value> = claims().as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        members.insert(name.clone(), value.clone());
    }
    Value::Object(members)
}

pub fn root() -> Root {
    let now = ManualClock::START.floor_to_second();
    Root {
        issuer: ISSUER.to_owned(),
        token_id: TokenId::parse(&id("tok", 1)).unwrap(),
        grant_id: GrantId::parse(&id("grnt", 1)).unwrap(),
        developer_id: DeveloperId::parse(&id("dev", 1)).unwrap(),
        principal_id: "user-1".to_owned(),
        agent_did: format!("did:grantex:{}", id("ag", 1)),
        scopes: vec!["read".to_owned(), "payments:initiate:max_500".to_owned()],
        audience: None,
        issued_at: now,
        expires_at: now.plus(Lifetime::hours(1)),
        depth: 0,
        parent_grant_id: None,
    }
}

pub fn key() -> Secret<String> {
    Secret::new("gx_test_canary".to_owned())
}

/// A verifier of the issuer's tokens, and its clock.
pub fn verifier(
    service: &Service,
    clock: &ManualClock,
    change: impl FnOnce(VerifierBuilder) -> VerifierBuilder,
) -> Verifier {
    let builder = Verifier::builder(&service.url).issuer(ISSUER).clock(clock.clone());
    change(builder).build().unwrap()
}

pub fn checked(service: &Service, clock: &ManualClock, check: impl Into<RevocationCheck>) -> Verifier {
    verifier(service, clock, |builder| builder.revocation(check))
}

/// A service that publishes the keys of [`ISSUING`].
pub async fn publishing() -> Service {
    Service::start(|asked| async move { ISSUING.published(&asked) }).await
}
