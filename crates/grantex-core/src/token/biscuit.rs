//! Grants as Biscuits: tokens that their holder narrows without asking anybody.
//!
//! A Biscuit is a chain of signed blocks. The first one is this server's and says what the grant allows; each later one was
//! appended by whoever held the token then, and takes something away. [`Chain`] is what such a token says, [`Effective`] the
//! intersection over its blocks. The wire format itself is a port, [`BiscuitFormat`], because its library has more
//! dependencies than everything else here together.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::closed;
use crate::grant::Grant;
use crate::id::{AgentId, DID_PREFIX, DeveloperId, GrantId, TokenId};
use crate::secret::Secret;
use crate::token::signer::SignError;

/// The name of the keys' algorithm in a key set (RFC 8037 §3.1).
pub const ALGORITHM: &str = "EdDSA";

/// The length of a revocation id: an Ed25519 signature in hexadecimal digits.
pub const REVOCATION_ID_LENGTH: usize = 128;

closed! {
    /// What a grant's access token is made as.
    #[derive(Default)]
    pub enum TokenFormat {
        /// A signed JWT.
        #[default]
        Jwt = "jwt",
        /// A Biscuit.
        Biscuit = "biscuit",
        /// One of each, with one `jti`.
        Both = "both",
    }
}

/// A root key: what signs first blocks.
#[derive(Debug, Clone)]
pub struct BiscuitKey {
    /// The `kid`: the RFC 7638 thumbprint of the public key.
    pub kid: String,
    /// The 32 secret bytes of RFC 8032 §5.1.5.
    pub seed: Secret<Vec<u8>>,
    /// The public JWK (RFC 8037 §2).
    pub jwk: Value,
}

/// The wire format.
pub trait BiscuitFormat: Send + Sync + 'static {
    /// Prepares keys: `signing` names the one that signs, all of them verify and are published in this order.
    fn keys(&self, keys: &[BiscuitKey], signing: &str) -> Result<Arc<dyn BiscuitKeys>, SignError>;
}

/// Prepared root keys.
pub trait BiscuitKeys: Send + Sync + 'static {
    /// The `kid` of the key that signs.
    fn signing_kid(&self) -> &str;
    /// Makes a token of one block; about 30 µs.
    fn mint(&self, root: &Root) -> Result<Secret<String>, SignError>;
    /// Checks form, limits and every signature of a token; `None` for whatever is not a token of these keys, or says something
    /// in a later block that is not understood and so cannot be enforced.
    fn open(&self, token: &str) -> Option<Chain>;
    /// The published keys: JWKs with `biscuitKeyId`, the number by which tokens name them.
    fn published(&self) -> &[Value];
}

/// What the first block says: the grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The server.
    pub issuer: String,
    /// The issuance.
    pub token_id: TokenId,
    /// The grant.
    pub grant_id: GrantId,
    /// The tenant.
    pub developer_id: DeveloperId,
    /// Who allowed it.
    pub principal_id: String,
    /// The agent that the grant was made for.
    pub agent_did: String,
    /// What is allowed.
    pub scopes: Vec<String>,
    /// The audience, if there is one.
    pub audience: Option<String>,
    /// When it was made, in whole seconds.
    pub issued_at: Timestamp,
    /// When it ends, in whole seconds.
    pub expires_at: Timestamp,
    /// How often the grant was handed on with the server's knowledge.
    pub depth: u32,
    /// The grant it was delegated from.
    pub parent_grant_id: Option<GrantId>,
}

impl Root {
    /// What the token of a grant says.
    pub fn of(issuer: &str, grant: &Grant, token_id: &TokenId, issued_at: Timestamp) -> Self {
        Self {
            issuer: issuer.to_owned(),
            token_id: token_id.clone(),
            grant_id: grant.id.clone(),
            developer_id: grant.developer_id.clone(),
            principal_id: grant.principal_id.clone(),
            agent_did: grant.agent_id.did(),
            scopes: grant.scopes.as_slice().to_vec(),
            audience: grant.audience.clone(),
            issued_at,
            expires_at: grant.expires_at,
            depth: grant.delegation_depth,
            parent_grant_id: grant.parent_grant_id.clone(),
        }
    }
}

/// The most that may be spent at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Ceiling {
    /// The currency.
    pub currency: String,
    /// In the currency's smallest unit.
    pub amount: i64,
}

/// What one later block takes away. Each member that is there is one more condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Narrowing {
    /// Only these scopes.
    pub scopes: Option<Vec<String>>,
    /// No longer than until then.
    pub expires_at: Option<Timestamp>,
    /// Only for this audience.
    pub audience: Option<String>,
    /// A second audience in the same block: then nobody is meant.
    pub is_for_nobody: bool,
    /// No more than that at once, per currency.
    pub ceilings: Vec<Ceiling>,
    /// The agent that it was handed to.
    pub agent_did: Option<String>,
}

/// A later block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Names the block and all that was derived from it, in hexadecimal digits.
    pub revocation_id: String,
    /// What it takes away.
    pub narrowing: Narrowing,
}

/// What an authentic token says, block by block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The first block.
    pub root: Root,
    /// Names the first block.
    pub root_revocation_id: String,
    /// The later blocks, in order.
    pub blocks: Vec<Block>,
}

/// What a token allows: the intersection over its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// In the order of the first block.
    pub scopes: Vec<String>,
    /// The earliest end.
    pub expires_at: Timestamp,
    /// The audience, if any block names one.
    pub audience: Option<String>,
    /// Two blocks name two audiences: then nobody is meant.
    pub is_for_nobody: bool,
    /// The least of each currency; all of them hold.
    pub ceilings: Vec<Ceiling>,
    /// The agent that it was handed to last.
    pub agent_did: String,
    /// How often it was handed on, with the server's knowledge and without.
    pub depth: u32,
}

impl Chain {
    /// The revocation ids, first block first.
    pub fn revocation_ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.root_revocation_id.as_str())
            .chain(self.blocks.iter().map(|block| block.revocation_id.as_str()))
    }

    /// The last block's revocation id: revoking it leaves what the token was derived from.
    pub fn own_revocation_id(&self) -> &str {
        self.blocks
            .last()
            .map_or(self.root_revocation_id.as_str(), |block| block.revocation_id.as_str())
    }

    /// The agents that later blocks name, in order.
    pub fn handed_to(&self) -> impl Iterator<Item = &str> {
        self.blocks
            .iter()
            .filter_map(|block| block.narrowing.agent_did.as_deref())
    }

    /// The revocation id of the last block that handed the token to an agent.
    pub fn last_handed(&self) -> Option<&str> {
        let mut blocks = self.blocks.iter().rev();
        let handed = blocks.find(|block| block.narrowing.agent_did.is_some());
        handed.map(|block| block.revocation_id.as_str())
    }

    /// The intersection over all blocks.
    pub fn effective(&self) -> Effective {
        let mut effective = Effective {
            scopes: self.root.scopes.clone(),
            expires_at: self.root.expires_at,
            audience: self.root.audience.clone(),
            is_for_nobody: false,
            ceilings: Vec::new(),
            agent_did: self.root.agent_did.clone(),
            depth: self.root.depth,
        };
        for block in &self.blocks {
            effective.narrow(&block.narrowing);
        }
        effective
    }

    /// The claims that a JWT of the same authority would hold, and the blocks.
    pub fn claims(&self) -> Map<String, Value> {
        let (root, effective) = (&self.root, self.effective());
        let claims = json!({
            "iss": root.issuer,
            "sub": root.principal_id,
            "jti": root.token_id,
            "iat": root.issued_at.as_seconds(),
            "exp": effective.expires_at.as_seconds(),
            "scope": effective.scopes.join(" "),
            "scp": effective.scopes,
            "agt": effective.agent_did,
            "dev": root.developer_id,
            "grnt": root.grant_id,
            "delegationDepth": effective.depth,
            "tokenFormat": TokenFormat::Biscuit.as_str(),
            "blocks": self.described(),
        });
        let Value::Object(mut claims) = claims else {
            return Map::new();
        };
        if let Some(id) = agent_of_did(&effective.agent_did) {
            claims.insert("client_id".into(), json!(id));
        }
        if let Some(audience) = effective.audience {
            claims.insert("aud".into(), audience.into());
        }
        if let Some(parent) = &root.parent_grant_id {
            claims.insert("parentGrnt".into(), json!(parent));
        }
        if !effective.ceilings.is_empty() {
            claims.insert("spendingCeilings".into(), json!(effective.ceilings));
        }
        claims
    }

    /// The blocks as they are shown to callers.
    pub fn described(&self) -> Vec<Value> {
        let root = &self.root;
        let mut first = json!({
            "revocationId": self.root_revocation_id, "scopes": root.scopes, "expiresAt": root.expires_at, "agent": root.agent_did,
        });
        if let (Some(members), Some(audience)) = (first.as_object_mut(), &root.audience) {
            members.insert("audience".into(), json!(audience));
        }
        std::iter::once(first)
            .chain(self.blocks.iter().map(Block::described))
            .collect()
    }
}

impl Block {
    fn described(&self) -> Value {
        let narrowing = &self.narrowing;
        let mut members = Map::new();
        members.insert("revocationId".into(), json!(self.revocation_id));
        let mut insert = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                members.insert(name.to_owned(), value);
            }
        };
        insert("scopes", narrowing.scopes.as_ref().map(|scopes| json!(scopes)));
        insert("expiresAt", narrowing.expires_at.map(|at| json!(at)));
        insert("audience", narrowing.audience.as_ref().map(|audience| json!(audience)));
        insert("agent", narrowing.agent_did.as_ref().map(|did| json!(did)));
        let ceilings = (!narrowing.ceilings.is_empty()).then(|| json!(narrowing.ceilings));
        insert("spendingCeilings", ceilings);
        Value::Object(members)
    }
}

impl Effective {
    fn narrow(&mut self, by: &Narrowing) {
        if let Some(kept) = &by.scopes {
            self.scopes.retain(|scope| kept.contains(scope));
        }
        if let Some(end) = by.expires_at {
            self.expires_at = self.expires_at.min(end);
        }
        if let Some(audience) = &by.audience {
            self.is_for_nobody |= self.audience.as_ref().is_some_and(|known| known != audience);
            self.audience = Some(audience.clone());
        }
        self.is_for_nobody |= by.is_for_nobody;
        for ceiling in &by.ceilings {
            lower(&mut self.ceilings, ceiling.clone());
        }
        if let Some(did) = &by.agent_did {
            self.agent_did.clone_from(did);
            self.depth = self.depth.saturating_add(1);
        }
    }
}

/// Adds a ceiling to a list that holds one per currency.
pub fn lower(ceilings: &mut Vec<Ceiling>, new: Ceiling) {
    match ceilings.iter_mut().find(|known| known.currency == new.currency) {
        Some(known) => known.amount = known.amount.min(new.amount),
        None => ceilings.push(new),
    }
}

/// The agent of this server that a DID names; `None` for all other DIDs.
pub fn agent_of_did(did: &str) -> Option<AgentId> {
    AgentId::parse(did.strip_prefix(DID_PREFIX)?)
}

/// Reads a revocation id: as many hexadecimal digits as there should be; in lower case.
pub fn parse_revocation_id(text: &str) -> Option<String> {
    let is_well_formed = text.len() == REVOCATION_ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_well_formed.then(|| text.to_ascii_lowercase())
}
