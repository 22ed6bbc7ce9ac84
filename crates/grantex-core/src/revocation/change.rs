//! Revoking, suspending and resuming: the only place that asks the store for it, because whatever it does is told in the feed.

use std::collections::{HashMap, HashSet};

use super::feed::BEYOND;
use super::{RevocationAction, RevocationEntry, RevocationHead};
use crate::agent::{Agent, AgentStatus};
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::grant::RevokedBy;
use crate::grantex::Unit;
use crate::id::{AgentId, DeveloperId, GrantId, TokenId};
use crate::store::{RevokedTree, Writes};

/// How much of an agent's grants the feed is told by the unit that changes the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// All.
    Everything,
    /// The first ones: [`Grantex::spread_revocations`](crate::Grantex::spread_revocations) goes on.
    Some,
}

/// What a unit of work has to tell the feed.
#[derive(Default)]
pub(crate) struct Changes {
    changes: Vec<Change>,
}

enum Change {
    Grant(RevocationAction, GrantId),
    Token { jti: String, expires_at: Timestamp },
}

impl Change {
    fn subject(&self) -> &str {
        match self {
            Self::Grant(_, id) => id.as_str(),
            Self::Token { jti, .. } => jti,
        }
    }
}

impl Unit<'_> {
    /// Revokes a grant with all that was delegated from it.
    pub(crate) async fn revoke_tree(
        &mut self,
        developer: &DeveloperId,
        root: &GrantId,
        by: RevokedBy,
    ) -> Result<RevokedTree, StoreError> {
        let revoked = self.tx.revoke_tree(developer, root, by, self.now).await?;
        self.changes
            .grants(RevocationAction::Revoked, revoked.grants.iter().cloned());
        Ok(revoked)
    }

    /// Revokes one access token, which ends at `expires_at`; `false` when there is nothing to revoke.
    pub(crate) async fn revoke_token(&mut self, id: &TokenId, expires_at: Timestamp) -> Result<bool, StoreError> {
        let developer = self.developer()?.clone();
        let is_revoked = self.tx.revoke_token(&developer, id, self.now).await?;
        if is_revoked {
            self.changes.token(id.to_string(), expires_at);
        }
        Ok(is_revoked)
    }

    /// Revokes a block of Biscuits, none of which lives beyond `expires_at`; `false` when it is revoked already.
    pub(crate) async fn revoke_block(&mut self, id: &str, expires_at: Timestamp) -> Result<bool, StoreError> {
        let developer = self.developer()?.clone();
        let is_revoked = self.tx.revoke_block(&developer, id, self.now).await?;
        if is_revoked {
            self.changes.token(id.to_owned(), expires_at);
        }
        Ok(is_revoked)
    }

    /// Stores an agent that had this status before; `None` when it is gone. Holds the developer's head.
    pub(crate) async fn save_agent(&mut self, agent: &Agent, before: AgentStatus) -> Result<Option<Told>, StoreError> {
        if !self.tx.update_agent(agent).await? {
            return Ok(None);
        }
        let told = match (before, agent.status) {
            (AgentStatus::Active, AgentStatus::Suspended) => {
                self.begin_spread(&agent.id, RevocationAction::Suspended).await?
            }
            (AgentStatus::Suspended, AgentStatus::Active) => {
                self.begin_spread(&agent.id, RevocationAction::Resumed).await?
            }
            (AgentStatus::Active, AgentStatus::Active) | (AgentStatus::Suspended, AgentStatus::Suspended) => {
                Told::Everything
            }
        };
        Ok(Some(told))
    }

    /// Hides an agent from every read; `None` when it is gone already. Its grants are suspended until they are revoked.
    pub(crate) async fn hide_agent(&mut self, id: &AgentId) -> Result<Option<Told>, StoreError> {
        let developer = self.developer()?.clone();
        if !self.tx.hide_agent(&developer, id, self.now).await? {
            return Ok(None);
        }
        self.begin_spread(id, RevocationAction::Suspended).await.map(Some)
    }
}

impl Changes {
    /// Something happened to grants.
    pub(super) fn grants(&mut self, action: RevocationAction, ids: impl IntoIterator<Item = GrantId>) {
        self.changes.extend(ids.into_iter().map(|id| Change::Grant(action, id)));
    }

    fn token(&mut self, jti: String, expires_at: Timestamp) {
        self.changes.push(Change::Token { jti, expires_at });
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Writes what there is to tell behind the feed's head, which the lock on the developer's head guards; returns where the feed
    /// ends then, or `None` when there was nothing.
    ///
    /// Of what happened to one grant in one unit only the last is told. Nothing is told of grants that have ended; nothing but their
    /// revocation of those that are revoked; and only those are resumed that are in force.
    pub(crate) async fn write(
        self,
        tx: &mut dyn Writes,
        developer: &DeveloperId,
        now: Timestamp,
    ) -> Result<Option<RevocationHead>, StoreError> {
        let ids: Vec<GrantId> = self
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::Grant(_, id) => Some(id.clone()),
                Change::Token { .. } => None,
            })
            .collect();
        let resumed: Vec<GrantId> = self
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::Grant(RevocationAction::Resumed, id) => Some(id.clone()),
                Change::Grant(..) | Change::Token { .. } => None,
            })
            .collect();
        let ends = match ids.is_empty() {
            true => Vec::new(),
            false => tx.grant_ends(developer, &ids).await?,
        };
        let ends: HashMap<GrantId, _> = ends.into_iter().map(|end| (end.id.clone(), end)).collect();
        let in_force: HashSet<GrantId> = match resumed.is_empty() {
            true => HashSet::new(),
            false => tx.grants_in_force(developer, &resumed).await?.into_iter().collect(),
        };
        let last: HashMap<String, usize> = self
            .changes
            .iter()
            .enumerate()
            .map(|(place, change)| (change.subject().to_owned(), place))
            .collect();

        let mut head = tx.revocation_head(developer).await?;
        let mut entries: Vec<RevocationEntry> = Vec::with_capacity(self.changes.len());
        for (place, change) in self.changes.into_iter().enumerate() {
            if last.get(change.subject()) != Some(&place) {
                continue;
            }
            let (action, subject, expires_at) = match change {
                Change::Token { jti, expires_at } => (RevocationAction::TokenRevoked, jti, expires_at),
                Change::Grant(action, id) => {
                    let Some(end) = ends.get(&id) else { continue };
                    let is_told = match action {
                        RevocationAction::Revoked => true,
                        RevocationAction::Suspended => !end.is_revoked,
                        RevocationAction::Resumed => in_force.contains(&id),
                        RevocationAction::TokenRevoked => false,
                    };
                    if !is_told {
                        continue;
                    }
                    (action, id.to_string(), end.expires_at)
                }
            };
            if expires_at.plus(BEYOND) > now {
                entries.push(head.append(developer, action, subject, expires_at, now));
            }
        }
        if entries.is_empty() {
            return Ok(None);
        }
        tx.append_revocations(developer, &entries).await?;
        Ok(Some(head))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::fs;
    use std::path::{Path, PathBuf};

    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// A flow that asked the store itself would revoke something of which no client of the feed hears.
    #[test]
    fn nobody_else_asks_the_store_to_revoke() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        sources(&root, &mut files);
        let mut asking = Vec::new();
        for path in files {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            // The store in memory and the suite for stores are the other side of the port.
            if name.starts_with("testing/") || name == "revocation/change.rs" {
                continue;
            }
            let text: String = fs::read_to_string(&path).unwrap().split_whitespace().collect();
            let is_asking = [
                "revoke_tree(",
                "revoke_token(",
                "revoke_block(",
                "update_agent(",
                "hide_agent(",
            ]
            .iter()
            .any(|method| text.contains(&format!("tx.{method}")));
            if is_asking {
                asking.push(name);
            }
        }
        assert_eq!(asking, Vec::<String>::new());
    }
}
