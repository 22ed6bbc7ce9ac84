use std::sync::{Arc, LazyLock};

use biscuit_auth::{Algorithm, Biscuit, BlockBuilder, KeyPair, PrivateKey, UnverifiedBiscuit};
use grantex_biscuit::Biscuits;
use grantex_core::clock::Timestamp;
use grantex_core::id::{DeveloperId, GrantId, TokenId};
use grantex_core::token::biscuit::{BiscuitFormat as _, BiscuitKey, BiscuitKeys, Ceiling, Chain, Effective, Root};

/// 2030-01-01T00:00:00Z.
pub const END: i64 = 1_893_456_000;

pub struct Issuer {
    pub key: BiscuitKey,
    pub keys: Arc<dyn BiscuitKeys>,
}

impl Issuer {
    pub fn new() -> Self {
        let key = BiscuitKey::generate().unwrap();
        let keys = Biscuits::default().keys(std::slice::from_ref(&key), &key.kid).unwrap();
        Self { key, keys }
    }

    /// One for all cases of property tests: making one costs more than most of them.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Issuer> = LazyLock::new(Issuer::new);
        &SHARED
    }

    pub fn pair(&self) -> KeyPair {
        KeyPair::from(&PrivateKey::from_bytes(self.key.seed.expose(), Algorithm::Ed25519).unwrap())
    }

    pub fn token(&self) -> String {
        self.keys.mint(&root(&["a", "b", "c"])).unwrap().expose().clone()
    }

    pub fn open(&self, token: &str) -> Option<Chain> {
        self.keys.open(token)
    }

    pub fn parsed(&self, token: &str) -> Biscuit {
        Biscuit::from_base64(token, self.pair().public()).unwrap()
    }
}

fn ulid(number: u8) -> String {
    format!("01ARZ3NDEKTSV4RRFFQ69G5F{number:02}")
}

pub fn root(scopes: &[&str]) -> Root {
    Root {
        issuer: "https://auth.example".to_owned(),
        token_id: TokenId::parse(&format!("{}_{}", TokenId::PREFIX, ulid(1))).unwrap(),
        grant_id: GrantId::parse(&format!("{}_{}", GrantId::PREFIX, ulid(2))).unwrap(),
        developer_id: DeveloperId::parse(&format!("dev_{}", ulid(3))).unwrap(),
        principal_id: "user_1".to_owned(),
        agent_did: format!("did:grantex:ag_{}", ulid(4)),
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        audience: None,
        issued_at: Timestamp::from_millis((END - 3_600) * 1_000),
        expires_at: Timestamp::from_millis(END * 1_000),
        depth: 0,
        parent_grant_id: None,
    }
}

/// The token with one more block of this Datalog: as a holder makes it, who knows no root key.
pub fn append(token: &str, datalog: &str) -> String {
    let block = BlockBuilder::new().code(datalog).unwrap();
    let token = UnverifiedBiscuit::from_base64(token).unwrap();
    token.append(block).unwrap().to_base64().unwrap()
}

/// Whether `other` allows nothing that `whole` does not.
pub fn covers(whole: &Effective, other: &Effective) -> bool {
    let has_ceiling = |ceiling: &Ceiling| {
        let mut lower = other.ceilings.iter();
        lower.any(|other| other.currency == ceiling.currency && other.amount <= ceiling.amount)
    };
    let is_audience_kept = other.is_for_nobody || whole.audience.is_none() || whole.audience == other.audience;
    other.scopes.iter().all(|scope| whole.scopes.contains(scope))
        && other.expires_at <= whole.expires_at
        && is_audience_kept
        && (!whole.is_for_nobody || other.is_for_nobody)
        && whole.ceilings.iter().all(has_ceiling)
        && other.depth >= whole.depth
}
