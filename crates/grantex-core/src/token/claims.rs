//! The claims of a grant token: standard claims and their older aliases, written from one source.

use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::grant::Grant;
use crate::id::{AgentId, DeveloperId, GrantId, TokenId};
use crate::token::biscuit::Chain;

/// The member that holds the grant's own claims.
const GRANT_MEMBER: &str = "urn:grantex:grant";

/// The payload of a grant token as JSON text (RFC 9068 §2.2, and `scp agt dev grnt` for older clients).
///
/// `iat` is rounded down, because clients refuse a token that is issued one second ahead of their clock; there is no `nbf`
/// for the same reason. Nothing is ever null: clients refuse that.
pub fn payload(issuer: &str, grant: &Grant, token_id: &TokenId, issued_at: Timestamp, expires_at: Timestamp) -> String {
    let agent_did = grant.agent_id.did();
    let mut claims = json!({
        "iss": issuer,
        "sub": grant.principal_id,
        "jti": token_id,
        "iat": issued_at.as_seconds(),
        "exp": expires_at.as_seconds(),
        "client_id": grant.agent_id,
        "scope": grant.scopes.joined(),
        "scp": grant.scopes.as_slice(),
        "agt": agent_did,
        "dev": grant.developer_id,
        "grnt": grant.id,
    });
    if let Some(members) = claims.as_object_mut() {
        if let Some(audience) = &grant.audience {
            members.insert("aud".into(), json!(audience));
        }
        if let Some(parent) = &grant.parent_grant_id {
            members.insert("parentGrnt".into(), json!(parent));
            members.insert("delegationDepth".into(), json!(grant.delegation_depth));
        }
        insert_delegators(members, grant.delegators.iter().map(AgentId::did).collect());
        members.insert(GRANT_MEMBER.into(), own_claims(grant));
    }
    claims.to_string()
}

/// The grant's own claims.
fn own_claims(grant: &Grant) -> Value {
    let mut claims = json!({
        "grant_id": grant.id, "agent_did": grant.agent_id.did(), "developer_id": grant.developer_id,
    });
    if let (Some(parent), Some(members)) = (&grant.parent_grant_id, claims.as_object_mut()) {
        members.insert("parent_grant_id".into(), json!(parent));
        members.insert("delegation_depth".into(), json!(grant.delegation_depth));
    }
    claims
}

/// Tells by DIDs who handed a token on, nearest first. RFC 8693 §4.1: the outermost `act` is the nearest, earlier ones are nested.
fn insert_delegators(members: &mut Map<String, Value>, delegators: Vec<String>) {
    if let Some(nearest) = delegators.first() {
        members.insert("parentAgt".into(), json!(nearest));
    }
    let chain = delegators.into_iter().rev().fold(None, |inner: Option<Value>, did| {
        let mut act = json!({"sub": did});
        if let (Some(inner), Some(members)) = (inner, act.as_object_mut()) {
            members.insert("act".into(), inner);
        }
        Some(act)
    });
    if let Some(act) = chain {
        members.insert("act".into(), act);
    }
}

/// The claims of an authentic token, as far as this server reads them.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    members: Map<String, Value>,
    /// `jti`.
    pub token_id: TokenId,
    /// `grnt`.
    pub grant_id: GrantId,
    /// `dev`.
    pub developer_id: DeveloperId,
    /// `sub`.
    pub principal_id: String,
    /// `agt`.
    pub agent_did: String,
    /// `scp`.
    pub scopes: Vec<String>,
    /// `aud`.
    pub audience: Option<String>,
    /// `exp`.
    pub expires_at: Timestamp,
    /// `iat`.
    pub issued_at: Timestamp,
}

impl Claims {
    /// Reads the claims of a grant token; `None` when any is missing or of another type.
    pub fn read(members: Map<String, Value>) -> Option<Self> {
        let text = |name: &str| members.get(name)?.as_str();
        let seconds = |name: &str| Some(Timestamp::from_millis(members.get(name)?.as_i64()?.checked_mul(1000)?));
        let scopes: Option<Vec<String>> = members
            .get("scp")?
            .as_array()?
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect();
        Some(Self {
            token_id: TokenId::parse(text("jti")?)?,
            grant_id: GrantId::parse(text("grnt")?)?,
            developer_id: DeveloperId::parse(text("dev")?)?,
            principal_id: text("sub")?.to_owned(),
            agent_did: text("agt")?.to_owned(),
            scopes: scopes?,
            audience: text("aud").map(str::to_owned),
            expires_at: seconds("exp")?,
            issued_at: seconds("iat")?,
            members,
        })
    }

    /// Adds what a JWT of the grant would say and a Biscuit does not hold: who handed it on, with the server's knowledge and then without,
    /// and the grant's own claims.
    pub(crate) fn complete(&mut self, chain: &Chain, grant: &Grant) {
        let mut holders: Vec<String> = grant.delegators.iter().rev().map(AgentId::did).collect();
        holders.push(chain.root.agent_did.clone());
        holders.extend(chain.handed_to().map(str::to_owned));
        // The last one holds it.
        holders.pop();
        holders.reverse();
        insert_delegators(&mut self.members, holders);
        self.members.insert(GRANT_MEMBER.into(), own_claims(grant));
    }

    /// The claims: of a JWT verbatim.
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }
}
