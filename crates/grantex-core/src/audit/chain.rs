//! The hash chain: what an entry's hash covers, and how the next entry is linked.

use sha2::{Digest, Sha256};
use ulid::Ulid;

use super::canonical::string;
use super::{AuditEntry, AuditRecord, Chain};
use crate::clock::Timestamp;
use crate::id::{AuditId, DeveloperId, Id};
use crate::secret::hex;
use crate::store::{ChainHead, ChainLink};

/// The text that is hashed: one JSON object with exactly these members in this order (contract: audit hash).
pub fn hashed_text(entry: &AuditEntry) -> String {
    let record = &entry.record;
    let mut out = String::with_capacity(512 + record.metadata.len());
    let mut member = |name: &str, text: &str, first: bool| {
        out.push_str(if first { "{\"" } else { ",\"" });
        out.push_str(name);
        out.push_str("\":");
        string(text, &mut out);
    };
    member("id", entry.id.as_str(), true);
    member("agentId", &record.agent_id, false);
    member("agentDid", &record.agent_did, false);
    member("grantId", &record.grant_id, false);
    member("principalId", &record.principal_id, false);
    member("developerId", entry.developer_id.as_str(), false);
    member("action", &record.action, false);
    out.push_str(",\"metadata\":");
    out.push_str(&record.metadata);
    out.push_str(",\"timestamp\":");
    string(&entry.timestamp.to_string(), &mut out);
    out.push_str(",\"prevHash\":");
    match &entry.prev_hash {
        Some(hash) => string(hash, &mut out),
        None => out.push_str("null"),
    }
    out.push_str(",\"status\":");
    string(record.status.as_str(), &mut out);
    out.push('}');
    out
}

/// SHA-256 of [`hashed_text`], 64 lower-case hex digits.
pub fn hash(entry: &AuditEntry) -> String {
    hex(&Sha256::digest(hashed_text(entry).as_bytes()))
}

/// Appends a record to a chain and advances its head.
///
/// Time never runs backwards within a chain and ids ascend, so that sorting by time and id is the order of the chain.
pub fn append(
    head: &mut ChainHead,
    developer_id: DeveloperId,
    chain: Chain,
    record: AuditRecord,
    now: Timestamp,
    new_ulid: impl FnOnce(Timestamp) -> Ulid,
) -> AuditEntry {
    let timestamp = head.last.as_ref().map_or(now, |last| last.at.max(now));
    let fresh = new_ulid(timestamp);
    let ulid = match head.last.as_ref().and_then(|last| last.id.ulid()) {
        Some(last) if last >= fresh => last.increment().unwrap_or(fresh),
        _ => fresh,
    };
    let prev_hash = head.last.take().map(|last| last.hash);
    let mut entry = AuditEntry {
        id: AuditId::from_ulid(ulid),
        developer_id,
        chain,
        seq: head.seq + 1,
        record,
        timestamp,
        prev_hash,
        hash: String::new(),
        trace_id: None,
    };
    entry.hash = hash(&entry);
    head.seq = entry.seq;
    head.last = Some(ChainLink {
        hash: entry.hash.clone(),
        id: entry.id.clone(),
        at: timestamp,
    });
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditStatus, canonical};
    use serde_json::json;

    fn record(action: &str, metadata: &serde_json::Value, status: AuditStatus) -> AuditRecord {
        AuditRecord {
            agent_id: "ag_A".into(),
            agent_did: "did:grantex:ag_A".into(),
            grant_id: "grnt_G".into(),
            principal_id: "user-7".into(),
            action: action.into(),
            metadata: canonical::object_text(metadata),
            status,
        }
    }

    fn text(entry: &AuditEntry) -> String {
        // The vectors use a developer id that is shorter than real ones.
        hashed_text(entry).replace(entry.developer_id.as_str(), "dev_D")
    }

    fn developer() -> DeveloperId {
        DeveloperId::from_ulid(Ulid::nil())
    }

    fn sha256(text: &str) -> String {
        hex(&Sha256::digest(text.as_bytes()))
    }

    #[test]
    fn the_two_published_vectors_hold() {
        let at = Timestamp::from_millis(1_893_553_445_006);
        let mut head = ChainHead::default();
        let first = append(
            &mut head,
            developer(),
            Chain::Caller,
            record("invoice.paid", &json!({}), AuditStatus::Success),
            at,
            |_| Ulid::from(1),
        );
        assert_eq!(
            sha256(&text(&first)),
            "17d744d9dfa3278a676cfdbe090903294bd96e381dad856287276d78698d3948"
        );

        let metadata = json!({"z": [1, {"b": true, "a": null}], "amount": 12.50, "é": "ü", "path": "/tmp/\"q\"\n"});
        let second = AuditEntry {
            id: AuditId::from_ulid(Ulid::from(2)),
            developer_id: developer(),
            chain: Chain::Caller,
            seq: 2,
            record: record("file.read", &metadata, AuditStatus::Blocked),
            timestamp: Timestamp::from_millis(1_893_553_445_007),
            prev_hash: Some("17d744d9dfa3278a676cfdbe090903294bd96e381dad856287276d78698d3948".into()),
            hash: String::new(),
            trace_id: None,
        };
        assert_eq!(
            sha256(&text(&second)),
            "420deff0d44ea146de1e9c0f4419b24bbadae82e3b0d1a19b643e0898d333be9"
        );
    }

    #[test]
    fn a_chain_survives_a_clock_that_steps_back_and_equal_milliseconds() {
        let mut head = ChainHead::default();
        let mut entries = Vec::new();
        for (millis, random) in [(5, 9), (5, 3), (2, 1), (7, 1)] {
            let at = Timestamp::from_millis(millis);
            entries.push(append(
                &mut head,
                developer(),
                Chain::Server,
                record("a", &json!({}), AuditStatus::Success),
                at,
                |at| Ulid::from_parts(u64::try_from(at.as_millis()).unwrap(), random),
            ));
        }
        let times: Vec<i64> = entries.iter().map(|entry| entry.timestamp.as_millis()).collect();
        assert_eq!(times, [5, 5, 5, 7]);
        assert!(
            entries
                .windows(2)
                .all(|pair| pair[0].id < pair[1].id && pair[1].prev_hash.as_ref() == Some(&pair[0].hash))
        );
        assert_eq!(entries[0].prev_hash, None);
        assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(entries.iter().all(|entry| entry.hash == hash(entry)));
    }
}
