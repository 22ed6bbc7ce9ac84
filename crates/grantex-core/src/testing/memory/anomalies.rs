//! Anomalies, and what they are found by.

use async_trait::async_trait;

use super::state::{State, count, index, newest_first};
use crate::anomaly::alert::{Anomaly, AnomalyCount, AnomalyFilter, AnomalyStatus};
use crate::anomaly::book::{RuleBook, RuleOverride};
use crate::anomaly::custom::{CustomRule, Mute};
use crate::anomaly::response::{PendingResponse, ResponsePolicy};
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::grant::Grant;
use crate::id::{AnomalyId, AnomalyMuteId, AnomalyRuleId, DeveloperId, GrantId};
use crate::page::{Page, PageRequest};
use crate::store::{AnomalyCursor, AnomalyPosition, AnomalyReads, AnomalyWrites};

fn passes(anomaly: &Anomaly, filter: &AnomalyFilter) -> bool {
    filter.status.is_none_or(|status| anomaly.status == status)
        && filter.severity.is_none_or(|severity| anomaly.severity == severity)
        && (filter.agent_id.is_none() || anomaly.agent_id == filter.agent_id)
        && filter.kind.is_none_or(|kind| anomaly.kind == kind)
        && filter.since.is_none_or(|since| anomaly.detected_at >= since)
        && filter.current_at.is_none_or(|now| anomaly.window_end > now)
        && (!filter.unresolved || anomaly.status != AnomalyStatus::Resolved)
}

impl State {
    fn cursor(&self, developer: &DeveloperId) -> AnomalyCursor {
        self.anomaly_cursors.get(developer).copied().unwrap_or_default()
    }
}

#[async_trait]
impl AnomalyReads for State {
    async fn anomaly_position(&mut self, developer: &DeveloperId) -> Result<Option<AnomalyPosition>, StoreError> {
        let cursor = self.cursor(developer);
        Ok(self.developers.get(developer).map(|row| AnomalyPosition {
            cursor,
            caller_end: row.head.caller.seq,
            server_end: row.head.server.seq,
        }))
    }

    async fn developers_with_signals(
        &mut self,
        after: Option<&DeveloperId>,
        limit: u32,
    ) -> Result<Vec<DeveloperId>, StoreError> {
        let behind = self.developers.iter().filter(|(id, row)| {
            let cursor = self.cursor(id);
            row.head.caller.seq > cursor.caller_seq || row.head.server.seq > cursor.server_seq
        });
        let wanted = behind
            .map(|(id, _)| id)
            .filter(|id| after.is_none_or(|after| *id > after));
        Ok(wanted.take(index(limit)).cloned().collect())
    }

    async fn activities(
        &mut self,
        developer: &DeveloperId,
        agents: &[String],
    ) -> Result<Vec<(String, String)>, StoreError> {
        let found = agents.iter().filter_map(|agent| {
            let (stored, _) = self.activities.get(&(developer.clone(), agent.clone()))?;
            Some((agent.clone(), stored.clone()))
        });
        Ok(found.collect())
    }

    async fn first_grants(&mut self, developer: &DeveloperId, grants: &[GrantId]) -> Result<Vec<GrantId>, StoreError> {
        let is_first = |grant: &Grant| {
            !self.grants.range(..grant.id.clone()).any(|(_, earlier)| {
                earlier.grant.developer_id == *developer
                    && earlier.grant.agent_id == grant.agent_id
                    && earlier.grant.principal_id == grant.principal_id
            })
        };
        let known = grants.iter().filter_map(|id| self.grants.get(id)).map(|row| &row.grant);
        let own = known.filter(|grant| grant.developer_id == *developer);
        Ok(own
            .filter(|grant| is_first(grant))
            .map(|grant| grant.id.clone())
            .collect())
    }

    async fn rule_book(&mut self, developer: &DeveloperId) -> Result<RuleBook, StoreError> {
        let own = |id: &DeveloperId| id == developer;
        let mut book = RuleBook {
            overrides: self
                .rule_overrides
                .values()
                .filter(|(id, _)| own(id))
                .map(|(_, change)| change.clone())
                .collect(),
            custom: self
                .anomaly_rules
                .values()
                .filter(|(id, _)| own(id))
                .map(|(_, rule)| rule.clone())
                .collect(),
            mutes: self
                .anomaly_mutes
                .values()
                .filter(|(id, _)| own(id))
                .map(|(_, mute)| mute.clone())
                .collect(),
            response: self.response_policies.get(developer).cloned().unwrap_or_default(),
        };
        book.custom
            .sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        book.mutes.sort_by(|a, b| (a.ends_at, &a.id).cmp(&(b.ends_at, &b.id)));
        Ok(book)
    }

    async fn anomaly(&mut self, developer: &DeveloperId, id: &AnomalyId) -> Result<Option<Anomaly>, StoreError> {
        let found = self.anomalies.get(id);
        Ok(found.filter(|anomaly| anomaly.developer_id == *developer).cloned())
    }

    async fn anomalies(
        &mut self,
        developer: &DeveloperId,
        filter: &AnomalyFilter,
        page: &PageRequest,
    ) -> Result<Page<Anomaly>, StoreError> {
        let own = self
            .anomalies
            .values()
            .filter(|anomaly| anomaly.developer_id == *developer);
        let wanted = own.filter(|anomaly| passes(anomaly, filter)).collect();
        Ok(newest_first(wanted, page, |anomaly| {
            (anomaly.detected_at.as_millis(), anomaly.id.as_str())
        }))
    }

    async fn count_anomalies(
        &mut self,
        developer: &DeveloperId,
        agent: Option<&str>,
        since: Timestamp,
    ) -> Result<Vec<AnomalyCount>, StoreError> {
        let mut counts: Vec<AnomalyCount> = Vec::new();
        let own = self.anomalies.values().filter(|anomaly| {
            anomaly.developer_id == *developer
                && anomaly.detected_at >= since
                && agent.is_none_or(|agent| anomaly.agent_id.as_deref() == Some(agent))
        });
        for anomaly in own {
            let same = |known: &&mut AnomalyCount| known.severity == anomaly.severity && known.status == anomaly.status;
            match counts.iter_mut().find(same) {
                Some(known) => known.count += 1,
                None => counts.push(AnomalyCount {
                    severity: anomaly.severity,
                    status: anomaly.status,
                    count: 1,
                }),
            }
        }
        Ok(counts)
    }

    async fn pending_responses(
        &mut self,
        developer: Option<&DeveloperId>,
        after: Option<&AnomalyId>,
        limit: u32,
    ) -> Result<Vec<(DeveloperId, AnomalyId)>, StoreError> {
        let wanted = self.responses.values().filter(|response| {
            developer.is_none_or(|developer| response.developer_id == *developer)
                && after.is_none_or(|after| response.anomaly_id > *after)
        });
        Ok(wanted
            .take(index(limit))
            .map(|response| (response.developer_id.clone(), response.anomaly_id.clone()))
            .collect())
    }

    async fn pending_response(
        &mut self,
        developer: &DeveloperId,
        id: &AnomalyId,
    ) -> Result<Option<PendingResponse>, StoreError> {
        let found = self.responses.get(id);
        Ok(found.filter(|response| response.developer_id == *developer).cloned())
    }

    async fn open_anomalies(&mut self) -> Result<i64, StoreError> {
        let open = self
            .anomalies
            .values()
            .filter(|anomaly| anomaly.status == AnomalyStatus::Open);
        Ok(i64::try_from(open.count()).unwrap_or(i64::MAX))
    }
}

#[async_trait]
impl AnomalyWrites for State {
    async fn advance_anomaly_cursor(
        &mut self,
        developer: &DeveloperId,
        from: i64,
        to: &AnomalyCursor,
    ) -> Result<bool, StoreError> {
        let is_same = self.cursor(developer).version == from;
        if is_same {
            self.anomaly_cursors.insert(developer.clone(), *to);
        }
        Ok(is_same)
    }

    async fn touch_anomaly_cursor(&mut self, developer: &DeveloperId) -> Result<(), StoreError> {
        self.anomaly_cursors.entry(developer.clone()).or_default().version += 1;
        Ok(())
    }

    async fn put_activities(
        &mut self,
        developer: &DeveloperId,
        activities: &[(String, String)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for (agent, stored) in activities {
            self.activities
                .insert((developer.clone(), agent.clone()), (stored.clone(), now));
        }
        Ok(())
    }

    async fn insert_anomaly(&mut self, anomaly: &Anomaly) -> Result<bool, StoreError> {
        let is_same = |known: &Anomaly| {
            known.developer_id == anomaly.developer_id
                && known.subject_key() == anomaly.subject_key()
                && known.window_start == anomaly.window_start
        };
        if self.anomalies.values().any(is_same) {
            return Ok(false);
        }
        self.anomalies.insert(anomaly.id.clone(), anomaly.clone());
        Ok(true)
    }

    async fn update_anomaly(&mut self, anomaly: &Anomaly) -> Result<(), StoreError> {
        if let Some(known) = self.anomalies.get_mut(&anomaly.id) {
            known.status = anomaly.status;
            known.acknowledged_at = anomaly.acknowledged_at;
            known.resolved_at = anomaly.resolved_at;
            known.notes.clone_from(&anomaly.notes);
        }
        Ok(())
    }

    async fn put_rule_override(&mut self, developer: &DeveloperId, change: &RuleOverride) -> Result<(), StoreError> {
        let key = (developer.clone(), change.kind.index());
        self.rule_overrides.insert(key, (developer.clone(), change.clone()));
        Ok(())
    }

    async fn insert_anomaly_rule(&mut self, developer: &DeveloperId, rule: &CustomRule) -> Result<bool, StoreError> {
        let is_taken = |(owner, known): &(DeveloperId, CustomRule)| owner == developer && known.rule_id == rule.rule_id;
        if self.anomaly_rules.values().any(is_taken) {
            return Ok(false);
        }
        self.anomaly_rules
            .insert(rule.id.clone(), (developer.clone(), rule.clone()));
        Ok(true)
    }

    async fn enable_anomaly_rule(
        &mut self,
        developer: &DeveloperId,
        id: &AnomalyRuleId,
        is_enabled: bool,
    ) -> Result<bool, StoreError> {
        let found = self.anomaly_rules.get_mut(id).filter(|(owner, _)| owner == developer);
        Ok(found.map(|(_, rule)| rule.is_enabled = is_enabled).is_some())
    }

    async fn remove_anomaly_rule(&mut self, developer: &DeveloperId, id: &AnomalyRuleId) -> Result<bool, StoreError> {
        let is_own = self.anomaly_rules.get(id).is_some_and(|(owner, _)| owner == developer);
        Ok(is_own && self.anomaly_rules.remove(id).is_some())
    }

    async fn insert_anomaly_mute(&mut self, developer: &DeveloperId, mute: &Mute) -> Result<(), StoreError> {
        self.anomaly_mutes
            .insert(mute.id.clone(), (developer.clone(), mute.clone()));
        Ok(())
    }

    async fn remove_anomaly_mute(&mut self, developer: &DeveloperId, id: &AnomalyMuteId) -> Result<bool, StoreError> {
        let is_own = self.anomaly_mutes.get(id).is_some_and(|(owner, _)| owner == developer);
        Ok(is_own && self.anomaly_mutes.remove(id).is_some())
    }

    async fn put_response_policy(
        &mut self,
        developer: &DeveloperId,
        policy: &ResponsePolicy,
    ) -> Result<(), StoreError> {
        self.response_policies.insert(developer.clone(), policy.clone());
        Ok(())
    }

    async fn insert_response(&mut self, response: &PendingResponse) -> Result<(), StoreError> {
        self.responses.insert(response.anomaly_id.clone(), response.clone());
        Ok(())
    }

    async fn update_response(&mut self, response: &PendingResponse) -> Result<(), StoreError> {
        if let Some(known) = self.responses.get_mut(&response.anomaly_id) {
            known.clone_from(response);
        }
        Ok(())
    }

    async fn remove_response(&mut self, id: &AnomalyId) -> Result<bool, StoreError> {
        Ok(self.responses.remove(id).is_some())
    }

    async fn remove_activities(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let old = self.activities.iter().filter(|(_, (_, at))| *at < before);
        let gone: Vec<_> = old.map(|(key, _)| key.clone()).take(index(limit)).collect();
        gone.iter().for_each(|key| {
            self.activities.remove(key);
        });
        Ok(count(gone.len()))
    }

    async fn remove_anomalies(&mut self, unresolved: bool, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let is_over = |anomaly: &&Anomaly| match anomaly.resolved_at {
            Some(at) => !unresolved && at < before,
            None => unresolved && anomaly.detected_at < before,
        };
        let over = self.anomalies.values().filter(is_over);
        let gone: Vec<AnomalyId> = over.map(|anomaly| anomaly.id.clone()).take(index(limit)).collect();
        gone.iter().for_each(|id| {
            self.anomalies.remove(id);
        });
        Ok(count(gone.len()))
    }

    async fn remove_anomaly_mutes(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let over = self.anomaly_mutes.values().filter(|(_, mute)| mute.ends_at < before);
        let gone: Vec<AnomalyMuteId> = over.map(|(_, mute)| mute.id.clone()).take(index(limit)).collect();
        gone.iter().for_each(|id| {
            self.anomaly_mutes.remove(id);
        });
        Ok(count(gone.len()))
    }
}
