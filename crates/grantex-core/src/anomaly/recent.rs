//! Signals of entries that this server has just committed, so that a pass need not read them back.
//!
//! The chains remain what counts: what is not here, because there was no room or because another server wrote it, is read from them.

use std::collections::{BTreeMap, HashMap};

use super::entry::signal_of;
use super::signal::Signal;
use crate::audit::{AuditEntry, Chain};
use crate::id::DeveloperId;

/// Signals of the entries of one developer, by their place in their chain; `None` for entries that are no signal.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    caller: BTreeMap<i64, Option<Signal>>,
    server: BTreeMap<i64, Option<Signal>>,
}

impl Entries {
    fn chain_mut(&mut self, chain: Chain) -> &mut BTreeMap<i64, Option<Signal>> {
        match chain {
            Chain::Caller => &mut self.caller,
            Chain::Server => &mut self.server,
        }
    }

    fn len(&self) -> usize {
        self.caller.len() + self.server.len()
    }

    /// Takes out the signals of a chain that follow on `seq` without a gap, up to `end`, and moves `seq` to the last of them.
    pub(super) fn take_following(&mut self, chain: Chain, seq: &mut i64, end: i64) -> Vec<Signal> {
        let entries = self.chain_mut(chain);
        let mut signals = Vec::new();
        while *seq < end {
            let Some(signal) = entries.remove(&(*seq + 1)) else {
                break;
            };
            *seq += 1;
            signals.extend(signal);
        }
        signals
    }
}

/// The entries of all developers that wait to be looked at.
#[derive(Debug, Default)]
pub(super) struct Recent {
    developers: HashMap<DeveloperId, Entries>,
    len: usize,
}

impl Recent {
    /// Keeps entries, as far as there are fewer than `limit`.
    pub(super) fn keep(&mut self, developer: &DeveloperId, entries: &[AuditEntry], limit: usize) {
        if self.len + entries.len() > limit {
            return;
        }
        let known = match self.developers.get_mut(developer) {
            Some(known) => known,
            None => self.developers.entry(developer.clone()).or_default(),
        };
        for entry in entries {
            let before = known.chain_mut(entry.chain).insert(entry.seq, signal_of(entry));
            self.len += usize::from(before.is_none());
        }
    }

    /// The entries of a developer, which are forgotten.
    pub(super) fn take(&mut self, developer: &DeveloperId) -> Entries {
        let entries = self.developers.remove(developer).unwrap_or_default();
        self.len -= entries.len();
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditRecord, AuditStatus, chain};
    use crate::clock::Timestamp;
    use ulid::Ulid;

    use crate::store::ChainHead;

    fn developer(number: u32) -> DeveloperId {
        DeveloperId::parse(&format!("dev_{number:026}")).unwrap()
    }

    fn entries(chain_kind: Chain, from: i64, count: usize) -> Vec<AuditEntry> {
        let mut head = ChainHead {
            seq: from - 1,
            last: None,
        };
        let record = AuditRecord {
            agent_id: format!("ag_{:026}", 1),
            agent_did: String::new(),
            grant_id: String::new(),
            principal_id: "user_1".to_owned(),
            action: "mail.sent".to_owned(),
            metadata: "{}".to_owned(),
            status: AuditStatus::Success,
        };
        (0..count)
            .map(|_| {
                let now = Timestamp::from_millis(0);
                chain::append(&mut head, developer(1), chain_kind, record.clone(), now, |_| {
                    Ulid::nil()
                })
            })
            .collect()
    }

    #[test]
    fn entries_are_taken_up_to_the_first_gap_and_not_beyond_the_end() {
        let mut recent = Recent::default();
        for from in [4, 1, 6] {
            recent.keep(&developer(1), &entries(Chain::Caller, from, 2), 100);
        }
        let mut kept = recent.take(&developer(1));
        assert_eq!(recent.len, 0);
        let mut seq = 0;
        assert_eq!(kept.take_following(Chain::Server, &mut seq, 7).len(), 0);
        assert_eq!((kept.take_following(Chain::Caller, &mut seq, 7).len(), seq), (2, 2));
        seq = 3;
        assert_eq!((kept.take_following(Chain::Caller, &mut seq, 5).len(), seq), (2, 5));
        assert_eq!((kept.take_following(Chain::Caller, &mut seq, 9).len(), seq), (2, 7));
    }

    #[test]
    fn what_is_no_signal_is_no_gap() {
        let mut recent = Recent::default();
        recent.keep(&developer(1), &entries(Chain::Server, 1, 3), 100);
        let (mut kept, mut seq) = (recent.take(&developer(1)), 0);
        assert_eq!((kept.take_following(Chain::Server, &mut seq, 3).len(), seq), (0, 3));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut recent = Recent::default();
        for number in 0..1_000 {
            recent.keep(
                &developer(number % 7),
                &entries(Chain::Caller, i64::from(number), 1),
                10,
            );
            assert!(recent.len <= 10);
        }
        assert_eq!(
            (0..7)
                .map(|number| recent.take(&developer(number)).len())
                .sum::<usize>(),
            10
        );
        recent.keep(&developer(1), &entries(Chain::Caller, 1, 11), 10);
        assert_eq!(recent.len, 0, "there is room for all of a unit or for none");
    }
}
