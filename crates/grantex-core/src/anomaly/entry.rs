//! Audit entry → signal. The chains hold everything that was committed, in order, so that what is read back from them is complete,
//! whoever wrote it and whatever became of that server.

use serde_json::{Map, Value};

use super::signal::{Signal, SignalKind, Subject};
use crate::audit::{AuditEntry, AuditStatus, Chain};
use crate::grant::RevokedBy;

/// The signal that an entry is; `None` for entries of the server that are about no agent's doing.
pub fn signal_of(entry: &AuditEntry) -> Option<Signal> {
    let record = &entry.record;
    let kind = match entry.chain {
        Chain::Caller => SignalKind::AuditEntry,
        Chain::Server => kind_of(&record.action)?,
    };
    let mut signal = Signal::new(kind, Subject::named(&record.agent_id), entry.timestamp);
    signal.is_failure = record.status != AuditStatus::Success;
    signal.principal_id.clone_from(&record.principal_id);
    signal.grant_id.clone_from(&record.grant_id);
    if entry.chain == Chain::Server && needs_metadata(kind) {
        describe(&mut signal, &record.metadata);
    }
    Some(signal)
}

fn kind_of(action: &str) -> Option<SignalKind> {
    Some(match action {
        "grantex.grant.created" => SignalKind::Grant,
        "grantex.grant.approved" => SignalKind::Consent,
        "grantex.grant.denied" | "grantex.policy.denied" => SignalKind::Denial,
        "grantex.grant.revoked" | "grantex.token.revoked" => SignalKind::Revocation,
        "grantex.token.exchanged" => SignalKind::Exchange,
        "grantex.token.refreshed" => SignalKind::Refresh,
        "grantex.token.delegated" | "grantex.token.delegated_offline" => SignalKind::Delegation,
        "grantex.code.reuse_detected" => SignalKind::CodeReuse,
        "grantex.token.reuse_detected" => SignalKind::RefreshReuse,
        _ => return None,
    })
}

const fn needs_metadata(kind: SignalKind) -> bool {
    matches!(
        kind,
        SignalKind::Grant | SignalKind::Consent | SignalKind::Denial | SignalKind::Revocation
    )
}

fn describe(signal: &mut Signal, metadata: &str) {
    let members: Map<String, Value> = serde_json::from_str(metadata).unwrap_or_default();
    if let Some(scopes) = members.get("scopes").and_then(Value::as_array) {
        signal.scopes = scopes.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    if let Some(depth) = members.get("delegationDepth").and_then(Value::as_u64) {
        signal.depth = u32::try_from(depth).unwrap_or(u32::MAX);
    }
    let revoked_by = members
        .get("revokedBy")
        .and_then(Value::as_str)
        .and_then(RevokedBy::parse);
    // What the server does because of a finding must not become the next one.
    signal.is_routine = matches!(revoked_by, Some(RevokedBy::AgentDeleted | RevokedBy::Anomaly));
}
