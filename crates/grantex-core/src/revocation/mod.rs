//! The revocation feed: everything that ends or interrupts the use of a token, in order, for clients that decide without asking.
//!
//! What a unit of work revokes, suspends or resumes becomes entries of its developer's feed in the same transaction: [`change`] is the one
//! place from which that is done, so nothing is revoked that the feed does not tell. Positions are counted under the lock of the
//! developer's head, hence in the order of commits. [`feed`] reads it, [`spread`] tells of agents that have very many grants, and
//! [`head`] signs how far it goes.

pub mod change;
pub mod feed;
pub mod head;
pub mod spread;

use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::closed;
use crate::id::{AgentId, DeveloperId, GrantId};
use crate::page::Cursor;
use crate::secret::{SecretHash, hex};

closed! {
    /// What became of a grant or token.
    pub enum RevocationAction {
        /// The grant is revoked for good.
        Revoked = "revoked",
        /// The grant cannot be used for now: its agent, or that of a grant above it, is suspended or deleted.
        Suspended = "suspended",
        /// The grant can be used again.
        Resumed = "resumed",
        /// One token, or one block of Biscuits, is revoked for good.
        TokenRevoked = "token_revoked",
    }
}

/// An entry of a developer's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationEntry {
    /// Position among the developer's entries, from 1, in commit order, without gaps.
    pub seq: i64,
    /// What happened.
    pub action: RevocationAction,
    /// To what: a grant's id, for [`RevocationAction::TokenRevoked`] a token's `jti` or a block's revocation id.
    pub subject: String,
    /// From when on no token of it can be used anyway.
    pub expires_at: Timestamp,
    /// When it happened: when the unit of work began whose commit made it true.
    pub at: Timestamp,
    /// SHA-256 over the hash before it and this entry, in hexadecimal digits; empty for entries from before there was a feed.
    pub hash: String,
}

impl RevocationEntry {
    /// The grant that it is about.
    pub fn grant_id(&self) -> Option<&str> {
        (self.action != RevocationAction::TokenRevoked).then_some(&*self.subject)
    }

    /// The token or block that it is about.
    pub fn jti(&self) -> Option<&str> {
        (self.action == RevocationAction::TokenRevoked).then_some(&*self.subject)
    }

    /// The hash of this entry behind another: of the lines hash before, position, action, subject, `expiresAt` and `at`, each ended by a
    /// line feed, times as they are served. In front of a developer's first entry stands the developer's id.
    pub fn hash_behind(&self, before: &str) -> String {
        let Self {
            seq,
            action,
            subject,
            expires_at,
            at,
            hash: _,
        } = self;
        let text = format!("{before}\n{seq}\n{}\n{subject}\n{expires_at}\n{at}\n", action.as_str());
        hex(&Sha256::digest(text.as_bytes()))
    }
}

/// How far a developer's feed goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RevocationHead {
    /// The position of the newest entry; 0 before the first.
    pub seq: i64,
    /// Its hash; empty before the first.
    pub hash: String,
}

impl RevocationHead {
    /// Puts an entry behind this head, and the head behind the entry.
    pub(crate) fn append(
        &mut self,
        developer: &DeveloperId,
        action: RevocationAction,
        subject: String,
        expires_at: Timestamp,
        at: Timestamp,
    ) -> RevocationEntry {
        let mut entry = RevocationEntry {
            seq: self.seq + 1,
            action,
            subject,
            expires_at,
            at,
            hash: String::new(),
        };
        let before = match self.hash.is_empty() {
            true => developer.as_str(),
            false => &self.hash,
        };
        entry.hash = entry.hash_behind(before);
        self.seq = entry.seq;
        self.hash.clone_from(&entry.hash);
        entry
    }
}

/// What open feeds want to know of their developer again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedHead {
    /// The developer.
    pub developer_id: DeveloperId,
    /// How far its feed goes.
    pub head: RevocationHead,
    /// The hash of the API key in force.
    pub key_hash: SecretHash,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All that are kept.
    All,
    /// Of each grant and token the latest one.
    Latest,
    /// Those of [`Wanted::Latest`] that keep something from being used at this time.
    InForce(Timestamp),
}

/// When a grant ends, and whether it has been revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantEnd {
    /// The grant.
    pub id: GrantId,
    /// When it ends. No token of it lives longer.
    pub expires_at: Timestamp,
    /// Whether it is revoked.
    pub is_revoked: bool,
}

/// What is still to be told of the grants of an agent that was suspended, resumed or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// The tenant.
    pub developer_id: DeveloperId,
    /// The agent.
    pub agent_id: AgentId,
    /// [`RevocationAction::Suspended`] or [`RevocationAction::Resumed`].
    pub action: RevocationAction,
    /// Behind which of its grants to go on.
    pub after: Cursor,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn every_entry_seals_what_is_before_it() {
        let developer = DeveloperId::parse("dev_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let mut head = RevocationHead::default();
        let at = Timestamp::from_millis(1_700_000_000_000);
        let (end, subject) = (at.plus(crate::clock::Lifetime::hours(1)), "grnt_1".to_owned());
        let first = head.append(&developer, RevocationAction::Suspended, subject.clone(), end, at);
        let second = head.append(&developer, RevocationAction::Revoked, subject, end, at);
        assert_eq!((first.seq, second.seq, head.seq), (1, 2, 2));
        assert_eq!(head.hash, second.hash);
        // sha256sum of the six lines, computed with coreutils.
        assert_eq!(
            first.hash,
            "33684381653d4ac90cde1651c16bdfd3f41a98384c0ba67dc32a4dbd8055b977"
        );
        assert_eq!(second.hash, second.hash_behind(&first.hash));
        let changed = RevocationEntry {
            action: RevocationAction::Resumed,
            ..first.clone()
        };
        assert_ne!(changed.hash_behind(developer.as_str()), first.hash);
    }
}
