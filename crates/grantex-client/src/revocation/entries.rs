//! What is revoked now, as the feed told it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use grantex_core::clock::{Lifetime, Timestamp};
use serde::Deserialize;
use serde_json::Value;

/// How much longer than it says an entry counts: as long as a verifier may let a token live beyond its end. An entry ends with the
/// tokens that it is about, by the service's clock.
const KEPT_BEYOND: Lifetime = Lifetime::minutes(10);

/// An entry as it is sent. Members that are not listed are passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    seq: i64,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    grant_id: Option<String>,
    #[serde(default)]
    jti: Option<String>,
    #[serde(default)]
    expires_at: Value,
}

/// Why an entry cannot be taken in. Then nobody can say any more what is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// More entries than may be kept.
    TooMany,
    /// It does not say what it is about.
    Nameless,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Revoked,
    Suspended,
}

#[derive(Debug)]
struct Entry {
    seq: i64,
    state: State,
    /// `None`: for good.
    ends_at: Option<Timestamp>,
    is_told: AtomicBool,
}

/// An entry that stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) seq: i64,
    pub(crate) state: State,
    /// Nobody was refused because of it before.
    pub(crate) is_first: bool,
}

/// A bounded set of entries.
#[derive(Debug)]
pub(crate) struct Entries {
    grants: HashMap<Box<str>, Entry>,
    tokens: HashMap<Box<str>, Entry>,
    limit: usize,
}

impl Entry {
    fn is_over(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|end| end.plus(KEPT_BEYOND) <= now)
    }

    fn hit(&self) -> Hit {
        Hit {
            seq: self.seq,
            state: self.state,
            is_first: !self.is_told.swap(true, Ordering::Relaxed),
        }
    }
}

impl Entries {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            grants: HashMap::new(),
            tokens: HashMap::new(),
            limit,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.grants.len() + self.tokens.len()
    }

    /// Applies what was sent. An entry that is older than what is known of the same id changes nothing, so that a history that is
    /// sent again does not make a revocation forgotten; and what is revoked stays so.
    pub(crate) fn apply(&mut self, sent: Sent, now: Timestamp) -> Result<(), Unusable> {
        let action = sent.action.as_deref().unwrap_or_default();
        // Without an end that can be read: for good.
        let ends_at = sent.expires_at.as_str().and_then(Timestamp::parse_rfc3339);
        let (of_tokens, id) = match (action, sent.grant_id, sent.jti) {
            ("token_revoked", _, Some(jti)) => (true, jti),
            // An action of tomorrow may be about a token.
            ("token_revoked", _, None) | (_, None, None) => return Err(Unusable::Nameless),
            ("suspended" | "resumed" | "revoked", None, _) => return Err(Unusable::Nameless),
            (_, Some(grant), _) => (false, grant),
            (_, None, Some(jti)) => (true, jti),
        };
        let known = if of_tokens { &mut self.tokens } else { &mut self.grants };
        if let Some(entry) = known.get(&*id)
            && (entry.seq >= sent.seq || (entry.state == State::Revoked && !entry.is_over(now) && !is_final(action)))
        {
            return Ok(());
        }
        if action == "resumed" {
            known.remove(&*id);
            return Ok(());
        }
        let entry = Entry {
            seq: sent.seq,
            // An action of tomorrow takes something away; it is not for us to say how little.
            state: if action == "suspended" {
                State::Suspended
            } else {
                State::Revoked
            },
            ends_at,
            is_told: AtomicBool::new(false),
        };
        if entry.is_over(now) {
            return Ok(());
        }
        known.insert(id.into_boxed_str(), entry);
        if self.len() > self.limit {
            self.forget_ended(now);
        }
        if self.len() > self.limit {
            Err(Unusable::TooMany)
        } else {
            Ok(())
        }
    }

    /// Drops what is over.
    pub(crate) fn forget_ended(&mut self, now: Timestamp) {
        self.grants.retain(|_, entry| !entry.is_over(now));
        self.tokens.retain(|_, entry| !entry.is_over(now));
    }

    /// The entry, if any, that stands in the way of one of these: a revocation before a suspension.
    pub(crate) fn find<'a>(
        &self,
        grants: impl Iterator<Item = &'a str>,
        tokens: impl Iterator<Item = &'a str>,
        now: Timestamp,
    ) -> Option<Hit> {
        let of_grants = grants.filter_map(|id| self.grants.get(id));
        let of_tokens = tokens.filter_map(|id| self.tokens.get(id));
        of_grants
            .chain(of_tokens)
            .filter(|entry| !entry.is_over(now))
            .min_by_key(|entry| entry.state != State::Revoked)
            .map(Entry::hit)
    }

    /// Takes over from the set before which refusals were told.
    pub(crate) fn remember_told(&self, before: &Self) {
        for (now, then) in [(&self.grants, &before.grants), (&self.tokens, &before.tokens)] {
            for (id, entry) in now {
                let was_told = then
                    .get(id)
                    .is_some_and(|old| old.seq == entry.seq && old.is_told.load(Ordering::Relaxed));
                entry.is_told.store(was_told, Ordering::Relaxed);
            }
        }
    }
}

fn is_final(action: &str) -> bool {
    !matches!(action, "suspended" | "resumed")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

    fn sent(value: Value) -> Sent {
        serde_json::from_value(value).unwrap()
    }

    fn change(seq: i64, action: &str, id: &str) -> Sent {
        let (grant, jti) = if action == "token_revoked" {
            (None, Some(id))
        } else {
            (Some(id), None)
        };
        sent(
            json!({"seq": seq, "action": action, "grantId": grant, "jti": jti, "expiresAt": null, "head": {"more": 1}}),
        )
    }

    fn state(entries: &Entries, grant: &str, token: &str) -> Option<State> {
        let hit = entries.find([grant].into_iter(), [token].into_iter(), NOW)?;
        Some(hit.state)
    }

    fn after(changes: &[(i64, &str, &str)]) -> Entries {
        let mut entries = Entries::new(100);
        for (seq, action, id) in changes {
            entries.apply(change(*seq, action, id), NOW).unwrap();
        }
        entries
    }

    #[test]
    fn grants_and_tokens_are_kept_apart() {
        let entries = after(&[(1, "revoked", "g"), (2, "token_revoked", "t")]);
        assert_eq!(state(&entries, "g", "x"), Some(State::Revoked));
        assert_eq!(state(&entries, "x", "t"), Some(State::Revoked));
        assert_eq!(state(&entries, "t", "g"), None);
    }

    #[test]
    fn a_suspension_ends_when_it_is_resumed_and_a_revocation_never() {
        assert_eq!(state(&after(&[(1, "suspended", "g")]), "g", ""), Some(State::Suspended));
        assert_eq!(
            state(&after(&[(1, "suspended", "g"), (2, "resumed", "g")]), "g", ""),
            None
        );
        let table: [&[(i64, &str, &str)]; 3] = [
            &[(1, "revoked", "g"), (2, "resumed", "g")],
            &[(1, "revoked", "g"), (2, "suspended", "g"), (3, "resumed", "g")],
            &[(1, "frobnicated", "g"), (2, "resumed", "g")],
        ];
        for changes in table {
            assert_eq!(state(&after(changes), "g", ""), Some(State::Revoked), "{changes:?}");
        }
    }

    #[test]
    fn a_history_that_is_sent_again_forgets_nothing() {
        let mut entries = after(&[(7, "revoked", "g"), (9, "suspended", "h")]);
        for (seq, action) in [(5, "suspended"), (6, "resumed")] {
            entries.apply(change(seq, action, "g"), NOW).unwrap();
            entries.apply(change(seq, action, "h"), NOW).unwrap();
        }
        assert_eq!(state(&entries, "g", ""), Some(State::Revoked));
        assert_eq!(state(&entries, "h", ""), Some(State::Suspended));
    }

    #[test]
    fn an_entry_outlives_the_leeway_of_its_tokens() {
        let mut entries = Entries::new(100);
        let end = NOW.minus(Lifetime::minutes(9)).to_string();
        let over = NOW.minus(Lifetime::minutes(10)).to_string();
        for (id, ends_at) in [
            ("kept", json!(end)),
            ("over", json!(over)),
            ("unreadable", json!("soon")),
            ("number", json!(5)),
        ] {
            let sent = sent(json!({"seq": 1, "action": "revoked", "grantId": id, "expiresAt": ends_at}));
            entries.apply(sent, NOW).unwrap();
        }
        for (id, expected) in [("kept", true), ("over", false), ("unreadable", true), ("number", true)] {
            assert_eq!(state(&entries, id, "").is_some(), expected, "{id}");
        }
        let later = NOW.plus(Lifetime::minutes(1));
        assert_eq!(entries.find(["kept"].into_iter(), std::iter::empty(), later), None);
        entries.forget_ended(later);
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn an_entry_is_about_whatever_it_names_and_one_that_names_nothing_cannot_be_used() {
        let mut entries = Entries::new(9);
        let tomorrow = sent(json!({"seq": 1, "action": "token_frozen", "jti": "t"}));
        assert_eq!(entries.apply(tomorrow, NOW), Ok(()));
        assert_eq!(state(&entries, "", "t"), Some(State::Revoked));
        for value in [
            json!({"seq": 2, "action": "revoked"}),
            json!({"seq": 2, "action": "suspended", "jti": "t"}),
            json!({"seq": 2, "action": "token_revoked", "grantId": "g"}),
            json!({"seq": 2}),
        ] {
            assert_eq!(
                entries.apply(sent(value.clone()), NOW),
                Err(Unusable::Nameless),
                "{value}"
            );
        }
        assert_eq!(entries.len(), 1);
    }

    #[test]
    fn entries_are_bounded_and_those_that_are_over_make_room() {
        let mut entries = Entries::new(2);
        let end = NOW.plus(Lifetime::minutes(1)).to_string();
        let sent = sent(json!({"seq": 1, "action": "revoked", "grantId": "short", "expiresAt": end}));
        entries.apply(sent, NOW).unwrap();
        entries.apply(change(2, "revoked", "a"), NOW).unwrap();
        let later = NOW.plus(Lifetime::minutes(11));
        assert_eq!(entries.apply(change(3, "revoked", "b"), later), Ok(()));
        assert_eq!(entries.apply(change(4, "revoked", "c"), later), Err(Unusable::TooMany));
    }

    #[test]
    fn the_first_refusal_is_told_once_even_over_snapshots() {
        let first = after(&[(1, "revoked", "g")]);
        let told = |entries: &Entries| {
            entries
                .find(["g"].into_iter(), std::iter::empty(), NOW)
                .unwrap()
                .is_first
        };
        assert!(told(&first));
        assert!(!told(&first));
        let again = after(&[(1, "revoked", "g")]);
        again.remember_told(&first);
        assert!(!told(&again));
        let newer = after(&[(2, "revoked", "g")]);
        newer.remember_told(&first);
        assert!(told(&newer));
    }
}
