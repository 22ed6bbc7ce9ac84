//! What a token allows, once it was verified.

use std::sync::Arc;

use grantex_core::clock::Timestamp;
use grantex_core::token::biscuit::{Ceiling, Chain, Effective, TokenFormat};
use grantex_core::token::claims::Claims;
use serde_json::{Map, Value};

/// What an authentic token says.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) claims: Claims,
    /// Times before which it does not hold, in whole seconds; JWTs only, and not from this service.
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) biscuit: Option<(Chain, Effective)>,
}

/// A call that is allowed: whose authority it is, who acts, and what is left of it after all blocks. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Authorized(Arc<Opened>);

impl Authorized {
    pub(crate) const fn new(opened: Arc<Opened>) -> Self {
        Self(opened)
    }

    fn effective(&self) -> Option<&Effective> {
        self.0.biscuit.as_ref().map(|(_, effective)| effective)
    }

    /// The grant.
    pub fn grant_id(&self) -> &str {
        self.0.claims.grant_id.as_str()
    }

    /// The grant that it was delegated from, if it was.
    pub fn parent_grant_id(&self) -> Option<&str> {
        self.0.claims.members().get("parentGrnt").and_then(Value::as_str)
    }

    /// The token's id: its `jti`.
    pub fn token_id(&self) -> &str {
        self.0.claims.token_id.as_str()
    }

    /// Who consented, as the developer names them.
    pub fn principal_id(&self) -> &str {
        &self.0.claims.principal_id
    }

    /// The developer whose agent acts.
    pub fn developer_id(&self) -> &str {
        self.0.claims.developer_id.as_str()
    }

    /// The agent that acts, by its DID: of a Biscuit the last one that it was handed to.
    pub fn agent_did(&self) -> &str {
        &self.0.claims.agent_did
    }

    /// What is allowed, in the order in which it was asked for.
    pub fn scopes(&self) -> &[String] {
        &self.0.claims.scopes
    }

    /// Whom the token is for, if it is for somebody.
    pub fn audience(&self) -> Option<&str> {
        self.0.claims.audience.as_deref()
    }

    /// When it ends.
    pub fn expires_at(&self) -> Timestamp {
        self.0.claims.expires_at
    }

    /// The most that may be spent at once; all of them hold. Biscuits only.
    pub fn ceilings(&self) -> &[Ceiling] {
        self.effective()
            .map(|effective| &*effective.ceilings)
            .unwrap_or_default()
    }

    /// How often the authority was handed on.
    pub fn delegation_depth(&self) -> u64 {
        let said = || self.0.claims.members().get("delegationDepth").and_then(Value::as_u64);
        self.effective()
            .map_or_else(|| said().unwrap_or(0), |effective| u64::from(effective.depth))
    }

    /// What the token was made as.
    pub fn format(&self) -> TokenFormat {
        if self.0.biscuit.is_some() {
            TokenFormat::Biscuit
        } else {
            TokenFormat::Jwt
        }
    }

    /// The blocks of a Biscuit.
    pub fn chain(&self) -> Option<&Chain> {
        self.0.biscuit.as_ref().map(|(chain, _)| chain)
    }

    /// The claims: of a JWT verbatim, of a Biscuit those of a JWT that allows the same.
    pub fn claims(&self) -> &Map<String, Value> {
        self.0.claims.members()
    }

    pub(crate) fn opened(&self) -> &Opened {
        &self.0
    }
}
