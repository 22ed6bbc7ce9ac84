//! Authority that was handed on without the server: a holder of a Biscuit appended a block that names another agent. The server
//! learns of it when the token is first presented here, and from then on it is part of what is known of the grant.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use slog::warn;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::developer::Developer;
use crate::error::{StoreError, chain as causes};
use crate::event::Event;
use crate::grant::GrantStatus;
use crate::grantex::Grantex;
use crate::id::{AgentId, DeveloperId, GrantId, TokenId};
use crate::page::{Page, PageRequest};
use crate::store::Store;
use crate::token::VerifiedToken;
use crate::token::biscuit::{Ceiling, Chain, agent_of_did};

/// How many of a grant are recorded: whoever holds a Biscuit can append blocks without end.
pub const MAX_PER_GRANT: u32 = 100;

/// Blocks that this process remembers to have recorded; when there are more, it begins anew.
const REMEMBERED: usize = 16_384;

/// Authority that one agent handed to another without the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineDelegation {
    /// The tenant.
    pub developer_id: DeveloperId,
    /// The grant whose authority it is.
    pub grant_id: GrantId,
    /// The token that was narrowed.
    pub token_id: TokenId,
    /// The block that names the agent. Revoking it takes the authority back from this agent and whoever it handed it to.
    pub revocation_id: String,
    /// The block by which the one who handed it on had got it; `None` for the grant's own agent.
    pub parent_revocation_id: Option<String>,
    /// The agent that got it.
    pub agent_did: String,
    /// How often the authority had been handed on then, with the server's knowledge and without.
    pub depth: u32,
    /// What was left of the scopes.
    pub scopes: Vec<String>,
    /// For whom, if any block says so.
    pub audience: Option<String>,
    /// The most that may be spent at once, per currency.
    pub ceilings: Vec<Ceiling>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The blocks up to this one, first one first, as callers see them.
    pub blocks: Vec<Value>,
    /// When the server first saw it.
    pub first_seen_at: Timestamp,
}

impl OfflineDelegation {
    /// What a Biscuit tells of, in the order in which it was handed on.
    pub fn all_of(chain: &Chain, now: Timestamp) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for (place, block) in chain.blocks.iter().enumerate() {
            let Some(agent_did) = &block.narrowing.agent_did else {
                continue;
            };
            let mut until_here = chain.clone();
            until_here.blocks.truncate(place + 1);
            let effective = until_here.effective();
            found.push(Self {
                developer_id: chain.root.developer_id.clone(),
                grant_id: chain.root.grant_id.clone(),
                token_id: chain.root.token_id.clone(),
                revocation_id: block.revocation_id.clone(),
                parent_revocation_id: found.last().map(|before| before.revocation_id.clone()),
                agent_did: agent_did.clone(),
                depth: effective.depth,
                scopes: effective.scopes,
                audience: effective.audience,
                ceilings: effective.ceilings,
                expires_at: effective.expires_at,
                blocks: until_here.described(),
                first_seen_at: now,
            });
        }
        found
    }

    /// What it is, without the blocks, as it is told in events and audit entries.
    pub fn described(&self) -> Value {
        let mut members = json!({
            "tokenId": self.token_id, "revocationId": self.revocation_id, "delegatedTo": self.agent_did,
            "delegationDepth": self.depth, "scopes": self.scopes, "expiresAt": self.expires_at,
        });
        if let Some(members) = members.as_object_mut() {
            if let Some(parent) = &self.parent_revocation_id {
                members.insert("parentRevocationId".into(), json!(parent));
            }
            if let Some(audience) = &self.audience {
                members.insert("audience".into(), json!(audience));
            }
            if !self.ceilings.is_empty() {
                members.insert("spendingCeilings".into(), json!(self.ceilings));
            }
        }
        members
    }

    /// The agent that got it, if it is one of this server.
    pub fn agent_id(&self) -> Option<AgentId> {
        agent_of_did(&self.agent_did)
    }

    /// The revocation ids of the blocks up to this one.
    fn revocation_ids(&self) -> impl Iterator<Item = &str> {
        self.blocks
            .iter()
            .filter_map(|block| block.get("revocationId").and_then(Value::as_str))
    }

    /// The state of this authority, given its grant and which blocks are revoked.
    fn status(&self, grant: GrantStatus, revoked: &[String], now: Timestamp) -> GrantStatus {
        let is_revoked = self.revocation_ids().any(|id| revoked.iter().any(|other| other == id));
        match grant {
            GrantStatus::Revoked => GrantStatus::Revoked,
            _ if is_revoked => GrantStatus::Revoked,
            GrantStatus::Expired => GrantStatus::Expired,
            GrantStatus::Active if self.expires_at <= now => GrantStatus::Expired,
            GrantStatus::Active => GrantStatus::Active,
        }
    }
}

/// Blocks that were recorded, so that a token that is shown again and again costs nothing more.
#[derive(Default)]
pub(crate) struct Recorded(Mutex<HashSet<[u8; 16]>>);

impl Recorded {
    fn key(one: &OfflineDelegation) -> [u8; 16] {
        let digest: [u8; 32] = Sha256::digest(one.revocation_id.as_bytes()).into();
        let (key, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
        *key
    }

    fn holds(&self, one: &OfflineDelegation) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&Self::key(one))
    }

    fn insert(&self, one: &OfflineDelegation) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(Self::key(one));
    }
}

impl<S: Store> Grantex<S> {
    /// Records what a good token tells of that nobody told the server: one unit of work when there is anything new. A failure is
    /// logged and does not change the verdict; the next presentation tries again.
    pub(crate) async fn record_offline_delegations(
        &self,
        ctx: &Context,
        developer: &Developer,
        verified: &VerifiedToken,
    ) {
        let Some(chain) = verified.biscuit.as_deref() else {
            return;
        };
        if chain.handed_to().next().is_none() {
            return;
        }
        let mut new = OfflineDelegation::all_of(chain, self.now());
        new.retain(|one| !self.parts.handed_on.holds(one));
        if new.is_empty() {
            return;
        }
        let (grant, written) = (verified.record.grant.clone(), new.clone());
        let outcome: Result<(), StoreError> = self
            .transact(ctx, Some(&developer.id), move |unit| {
                Box::pin(async move {
                    for one in written {
                        if unit.tx.insert_offline_delegation(&one, MAX_PER_GRANT).await? {
                            unit.record(Event::OfflineDelegated {
                                delegation: Box::new(one),
                                agent_id: grant.agent_id.clone(),
                                principal_id: grant.principal_id.clone(),
                            });
                        }
                    }
                    Ok(())
                })
            })
            .await;
        match outcome {
            Ok(()) => new.iter().for_each(|one| self.parts.handed_on.insert(one)),
            Err(error) => {
                warn!(ctx.logger(), "token.offline_delegation_not_recorded"; "error" => causes(&error));
            }
        }
    }

    /// What was handed on of a grant without the server, newest first, one page, each with its state; `None` for a grant that is
    /// unknown or foreign.
    pub async fn offline_delegations(
        &self,
        developer: &Developer,
        grant: GrantId,
        page: PageRequest,
    ) -> Result<Option<Page<(OfflineDelegation, GrantStatus)>>, StoreError> {
        let (developer, now) = (developer.id.clone(), self.now());
        self.store
            .read(move |tx| {
                Box::pin(async move {
                    let Some(grant) = tx.grant(&developer, &grant).await? else {
                        return Ok(None);
                    };
                    let found = tx.offline_delegations(&developer, &grant.id, &page).await?;
                    let mut ids: Vec<String> = found
                        .items
                        .iter()
                        .flat_map(OfflineDelegation::revocation_ids)
                        .map(str::to_owned)
                        .collect();
                    ids.sort_unstable();
                    ids.dedup();
                    let revoked = tx.revoked_blocks_among(&developer, &ids).await?;
                    let tokens: BTreeSet<&TokenId> = found.items.iter().map(|one| &one.token_id).collect();
                    let mut over = BTreeSet::new();
                    for id in tokens {
                        let record = tx.token(id).await?;
                        if record.is_some_and(|record| record.token.revoked_at.is_some()) {
                            over.insert(id.clone());
                        }
                    }
                    let status = grant.status(now);
                    Ok(Some(found.map(|one| {
                        let status = match over.contains(&one.token_id) {
                            true => GrantStatus::Revoked,
                            false => one.status(status, &revoked, now),
                        };
                        (one, status)
                    })))
                })
            })
            .await
    }
}
