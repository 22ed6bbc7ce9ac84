use async_trait::async_trait;
use diesel::dsl::{count_star, exists, not};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use grantex_core::anomaly::Severity;
use grantex_core::anomaly::alert::{Anomaly, AnomalyCount, AnomalyFilter, AnomalyStatus};
use grantex_core::anomaly::book::{RuleBook, RuleOverride};
use grantex_core::anomaly::custom::{CustomRule, Mute};
use grantex_core::anomaly::response::{PendingResponse, ResponsePolicy};
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{AnomalyId, AnomalyMuteId, AnomalyRuleId, DeveloperId, GrantId};
use grantex_core::page::{Page, PageRequest};
use grantex_core::store::{AnomalyCursor, AnomalyPosition, AnomalyReads, AnomalyWrites};

use super::{CHUNK, ConnTx, all, skip};
use crate::rows::{
    AnomalyChange, AnomalyRow, CustomRuleRow, MuteRow, OverrideRow, Place, ResponsePolicyRow, ResponseRow,
};
use crate::schema::{
    agent_activities, anomalies, anomaly_cursors, anomaly_mutes, anomaly_response_policies, anomaly_responses,
    anomaly_rule_overrides, anomaly_rules, developers, grants,
};
use crate::statements::Fixed;

const IS_BEHIND: &str = "(developers.caller_seq > COALESCE(anomaly_cursors.caller_seq, 0) \
    OR developers.server_seq > COALESCE(anomaly_cursors.server_seq, 0))";

const ACTIVITIES: &str = "DELETE FROM agent_activities WHERE (developer_id, agent_id) IN \
    (SELECT developer_id, agent_id FROM agent_activities WHERE updated_at < $1 LIMIT $2)";
const RESOLVED: &str = "DELETE FROM anomalies WHERE id IN \
    (SELECT id FROM anomalies WHERE resolved_at IS NOT NULL AND resolved_at < $1 LIMIT $2)";
const UNRESOLVED: &str = "DELETE FROM anomalies WHERE id IN \
    (SELECT id FROM anomalies WHERE resolved_at IS NULL AND detected_at < $1 LIMIT $2)";
const MUTES: &str = "DELETE FROM anomaly_mutes WHERE id IN (SELECT id FROM anomaly_mutes WHERE ends_at < $1 LIMIT $2)";

/// The ends of both chains, and the cursor's version and positions, if there is a cursor.
type PositionRow = (i64, i64, Option<(i64, i64, i64)>);

#[async_trait]
impl AnomalyReads for ConnTx<'_> {
    async fn anomaly_position(&mut self, developer: &DeveloperId) -> Result<Option<AnomalyPosition>, StoreError> {
        let cursor = (
            anomaly_cursors::version,
            anomaly_cursors::caller_seq,
            anomaly_cursors::server_seq,
        );
        let query = developers::table
            .left_join(anomaly_cursors::table.on(anomaly_cursors::developer_id.eq(developers::id)))
            .filter(developers::id.eq(developer.as_str()))
            .select((developers::caller_seq, developers::server_seq, cursor.nullable()));
        let found = query.first::<PositionRow>(self.conn().await?).await.optional();
        let position = |(caller_end, server_end, cursor): PositionRow| {
            let (version, caller_seq, server_seq) = cursor.unwrap_or_default();
            AnomalyPosition {
                cursor: AnomalyCursor {
                    version,
                    caller_seq,
                    server_seq,
                },
                caller_end,
                server_end,
            }
        };
        Ok(self.note(found)?.map(position))
    }

    async fn developers_with_signals(
        &mut self,
        after: Option<&DeveloperId>,
        limit: u32,
    ) -> Result<Vec<DeveloperId>, StoreError> {
        let query = developers::table
            .left_join(anomaly_cursors::table.on(anomaly_cursors::developer_id.eq(developers::id)))
            .filter(developers::id.gt(after.map_or("", DeveloperId::as_str)))
            .filter(diesel::dsl::sql::<Bool>(IS_BEHIND))
            .order(developers::id)
            .limit(i64::from(limit))
            .select(developers::id);
        let ids = query.load::<String>(self.conn().await?).await;
        let parse = |id: &String| {
            Place {
                table: "developers",
                id,
            }
            .expect("id", DeveloperId::parse(id))
        };
        self.note(ids)?.iter().map(parse).collect()
    }

    async fn activities(
        &mut self,
        developer: &DeveloperId,
        agents: &[String],
    ) -> Result<Vec<(String, String)>, StoreError> {
        let mut found = Vec::new();
        for chunk in agents.chunks(CHUNK) {
            let query = agent_activities::table
                .filter(agent_activities::developer_id.eq(developer.as_str()))
                .filter(agent_activities::agent_id.eq_any(chunk))
                .select((agent_activities::agent_id, agent_activities::activity));
            let some = query.load::<(String, String)>(self.conn().await?).await;
            found.extend(self.note(some)?);
        }
        Ok(found)
    }

    async fn first_grants(&mut self, developer: &DeveloperId, ids: &[GrantId]) -> Result<Vec<GrantId>, StoreError> {
        let earlier = diesel::alias!(grants as earlier);
        let ids: Vec<&str> = ids.iter().map(GrantId::as_str).collect();
        let mut first = Vec::new();
        for chunk in ids.chunks(CHUNK) {
            let is_later = exists(
                earlier
                    .filter(earlier.field(grants::developer_id).eq(grants::developer_id))
                    .filter(earlier.field(grants::principal_id).eq(grants::principal_id))
                    .filter(earlier.field(grants::agent_id).eq(grants::agent_id))
                    .filter(earlier.field(grants::id).lt(grants::id)),
            );
            let query = grants::table
                .filter(grants::id.eq_any(chunk.to_vec()))
                .filter(grants::developer_id.eq(developer.as_str()))
                .filter(not(is_later))
                .select(grants::id);
            let found = query.load::<String>(self.conn().await?).await;
            first.extend(self.note(found)?.iter().filter_map(|id| GrantId::parse(id)));
        }
        Ok(first)
    }

    async fn rule_book(&mut self, developer: &DeveloperId) -> Result<RuleBook, StoreError> {
        let query = anomaly_rule_overrides::table
            .filter(anomaly_rule_overrides::developer_id.eq(developer.as_str()))
            .order(anomaly_rule_overrides::kind)
            .select(OverrideRow::as_select());
        let overrides = query.load(self.conn().await?).await;
        let overrides: Vec<RuleOverride> = all(self.note(overrides)?)?;
        let query = anomaly_rules::table
            .filter(anomaly_rules::developer_id.eq(developer.as_str()))
            .order((anomaly_rules::created_at.desc(), anomaly_rules::id.desc()))
            .select(CustomRuleRow::as_select());
        let custom = query.load(self.conn().await?).await;
        let custom: Vec<CustomRule> = all(self.note(custom)?)?;
        let query = anomaly_mutes::table
            .filter(anomaly_mutes::developer_id.eq(developer.as_str()))
            .order((anomaly_mutes::ends_at, anomaly_mutes::id))
            .select(MuteRow::as_select());
        let mutes = query.load(self.conn().await?).await;
        let mutes: Vec<Mute> = all(self.note(mutes)?)?;
        let query = anomaly_response_policies::table
            .find(developer.as_str())
            .select(ResponsePolicyRow::as_select());
        let response = query.first(self.conn().await?).await.optional();
        let response = self.note(response)?.map(ResponsePolicy::try_from).transpose()?;
        Ok(RuleBook {
            overrides,
            custom,
            mutes,
            response: response.unwrap_or_default(),
        })
    }

    async fn anomaly(&mut self, developer: &DeveloperId, id: &AnomalyId) -> Result<Option<Anomaly>, StoreError> {
        let query = anomalies::table
            .find(id.as_str())
            .filter(anomalies::developer_id.eq(developer.as_str()))
            .select(AnomalyRow::as_select());
        let row = query.first(self.conn().await?).await.optional();
        self.note(row)?.map(Anomaly::try_from).transpose()
    }

    async fn anomalies(
        &mut self,
        developer: &DeveloperId,
        filter: &AnomalyFilter,
        page: &PageRequest,
    ) -> Result<Page<Anomaly>, StoreError> {
        let mut query = anomalies::table
            .filter(anomalies::developer_id.eq(developer.as_str()))
            .order((anomalies::detected_at.desc(), anomalies::id.desc()))
            .limit(i64::from(page.size) + 1)
            .offset(skip(page.offset()))
            .select(AnomalyRow::as_select())
            .into_boxed();
        if let Some(status) = filter.status {
            query = query.filter(anomalies::status.eq(status.as_str()));
        }
        if filter.unresolved {
            query = query.filter(anomalies::resolved_at.is_null());
        }
        if let Some(severity) = filter.severity {
            query = query.filter(anomalies::severity.eq(severity.as_str()));
        }
        if let Some(agent) = &filter.agent_id {
            query = query.filter(anomalies::agent_id.eq(agent));
        }
        if let Some(kind) = filter.kind {
            query = query.filter(anomalies::kind.eq(kind.as_str()));
        }
        if let Some(since) = filter.since {
            query = query.filter(anomalies::detected_at.ge(since.as_millis()));
        }
        if let Some(now) = filter.current_at {
            query = query.filter(anomalies::window_end.gt(now.as_millis()));
        }
        if let Some(cursor) = page.after() {
            query = query
                .filter(anomalies::detected_at.le(cursor.at))
                .filter(anomalies::detected_at.lt(cursor.at).or(anomalies::id.lt(&cursor.id)));
        }
        let found = query.load::<AnomalyRow>(self.conn().await?).await;
        let items: Vec<Anomaly> = all(self.note(found)?)?;
        Ok(Page::from_overfetched(items, page.size, Anomaly::cursor))
    }

    async fn count_anomalies(
        &mut self,
        developer: &DeveloperId,
        agent: Option<&str>,
        since: Timestamp,
    ) -> Result<Vec<AnomalyCount>, StoreError> {
        let grouped = || {
            anomalies::table
                .group_by((anomalies::severity, anomalies::status))
                .filter(anomalies::developer_id.eq(developer.as_str()))
                .filter(anomalies::detected_at.ge(since.as_millis()))
                .select((anomalies::severity, anomalies::status, count_star()))
        };
        let conn = self.conn().await?;
        let found = match agent {
            Some(agent) => grouped().filter(anomalies::agent_id.eq(agent)).load(conn).await,
            None => grouped().load(conn).await,
        };
        let count = |(severity, status, count): (String, String, i64)| {
            let place = Place {
                table: "anomalies",
                id: developer.as_str(),
            };
            Ok(AnomalyCount {
                severity: place.expect("severity", Severity::parse(&severity))?,
                status: place.expect("status", AnomalyStatus::parse(&status))?,
                count: u64::try_from(count).unwrap_or(0),
            })
        };
        self.note(found)?.into_iter().map(count).collect()
    }

    async fn pending_responses(
        &mut self,
        developer: Option<&DeveloperId>,
        after: Option<&AnomalyId>,
        limit: u32,
    ) -> Result<Vec<(DeveloperId, AnomalyId)>, StoreError> {
        let behind = || {
            anomaly_responses::table
                .filter(anomaly_responses::anomaly_id.gt(after.map_or("", AnomalyId::as_str)))
                .order(anomaly_responses::anomaly_id)
                .limit(i64::from(limit))
                .select((anomaly_responses::developer_id, anomaly_responses::anomaly_id))
        };
        let conn = self.conn().await?;
        let found = match developer {
            Some(id) => {
                behind()
                    .filter(anomaly_responses::developer_id.eq(id.as_str()))
                    .load(conn)
                    .await
            }
            None => behind().load(conn).await,
        };
        let parse = |(developer, anomaly): (String, String)| {
            let place = Place {
                table: "anomaly_responses",
                id: &anomaly,
            };
            Ok((
                place.expect("developer_id", DeveloperId::parse(&developer))?,
                place.expect("anomaly_id", AnomalyId::parse(&anomaly))?,
            ))
        };
        self.note(found)?.into_iter().map(parse).collect()
    }

    async fn pending_response(
        &mut self,
        developer: &DeveloperId,
        id: &AnomalyId,
    ) -> Result<Option<PendingResponse>, StoreError> {
        let query = anomaly_responses::table
            .find(id.as_str())
            .filter(anomaly_responses::developer_id.eq(developer.as_str()))
            .select(ResponseRow::as_select());
        let row = query.first(self.conn().await?).await.optional();
        self.note(row)?.map(PendingResponse::try_from).transpose()
    }

    async fn open_anomalies(&mut self) -> Result<i64, StoreError> {
        // Written out, so that both databases see that the index of open ones holds every match.
        let query = anomalies::table.filter(diesel::dsl::sql::<Bool>("status = 'open'"));
        let count = query.select(count_star()).get_result(self.conn().await?).await;
        self.note(count)
    }
}

#[async_trait]
impl AnomalyWrites for ConnTx<'_> {
    async fn advance_anomaly_cursor(
        &mut self,
        developer: &DeveloperId,
        from: i64,
        to: &AnomalyCursor,
    ) -> Result<bool, StoreError> {
        let position = (
            anomaly_cursors::version.eq(to.version),
            anomaly_cursors::caller_seq.eq(to.caller_seq),
            anomaly_cursors::server_seq.eq(to.server_seq),
        );
        let count = if from == 0 {
            let insert = diesel::insert_into(anomaly_cursors::table)
                .values((anomaly_cursors::developer_id.eq(developer.as_str()), position))
                .on_conflict(anomaly_cursors::developer_id)
                .do_nothing();
            insert.execute(self.conn().await?).await
        } else {
            let same = anomaly_cursors::table
                .find(developer.as_str())
                .filter(anomaly_cursors::version.eq(from));
            let update = diesel::update(same).set(position);
            Fixed(update).execute(self.conn().await?).await
        };
        Ok(self.note(count)? == 1)
    }

    async fn touch_anomaly_cursor(&mut self, developer: &DeveloperId) -> Result<(), StoreError> {
        let insert = diesel::insert_into(anomaly_cursors::table)
            .values((
                anomaly_cursors::developer_id.eq(developer.as_str()),
                anomaly_cursors::version.eq(1),
                anomaly_cursors::caller_seq.eq(0),
                anomaly_cursors::server_seq.eq(0),
            ))
            .on_conflict(anomaly_cursors::developer_id)
            .do_update()
            .set(anomaly_cursors::version.eq(anomaly_cursors::version + 1));
        let count = insert.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn put_activities(
        &mut self,
        developer: &DeveloperId,
        activities: &[(String, String)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for (agent, stored) in activities {
            let upsert = diesel::insert_into(agent_activities::table)
                .values((
                    agent_activities::developer_id.eq(developer.as_str()),
                    agent_activities::agent_id.eq(agent),
                    agent_activities::activity.eq(stored),
                    agent_activities::updated_at.eq(now.as_millis()),
                ))
                .on_conflict((agent_activities::developer_id, agent_activities::agent_id))
                .do_update()
                .set((
                    agent_activities::activity.eq(stored),
                    agent_activities::updated_at.eq(now.as_millis()),
                ));
            let count = Fixed(upsert).execute(self.conn().await?).await;
            self.note(count)?;
        }
        Ok(())
    }

    async fn insert_anomaly(&mut self, anomaly: &Anomaly) -> Result<bool, StoreError> {
        let insert = diesel::insert_into(anomalies::table)
            .values(AnomalyRow::from(anomaly))
            .on_conflict((anomalies::developer_id, anomalies::subject_key, anomalies::window_start))
            .do_nothing();
        let count = insert.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn update_anomaly(&mut self, anomaly: &Anomaly) -> Result<(), StoreError> {
        let update = diesel::update(anomalies::table.find(anomaly.id.as_str())).set(AnomalyChange::from(anomaly));
        let count = update.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn put_rule_override(&mut self, developer: &DeveloperId, change: &RuleOverride) -> Result<(), StoreError> {
        let row = OverrideRow::new(developer, change);
        let after = (
            anomaly_rule_overrides::is_enabled.eq(row.is_enabled),
            anomaly_rule_overrides::thresholds.eq(row.thresholds.clone()),
        );
        let upsert = diesel::insert_into(anomaly_rule_overrides::table)
            .values(row)
            .on_conflict((anomaly_rule_overrides::developer_id, anomaly_rule_overrides::kind))
            .do_update()
            .set(after);
        let count = upsert.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn insert_anomaly_rule(&mut self, developer: &DeveloperId, rule: &CustomRule) -> Result<bool, StoreError> {
        let insert = diesel::insert_into(anomaly_rules::table)
            .values(CustomRuleRow::new(developer, rule))
            .on_conflict((anomaly_rules::developer_id, anomaly_rules::rule_id))
            .do_nothing();
        let count = insert.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn enable_anomaly_rule(
        &mut self,
        developer: &DeveloperId,
        id: &AnomalyRuleId,
        is_enabled: bool,
    ) -> Result<bool, StoreError> {
        let own = anomaly_rules::table
            .find(id.as_str())
            .filter(anomaly_rules::developer_id.eq(developer.as_str()));
        let update = diesel::update(own).set(anomaly_rules::is_enabled.eq(is_enabled));
        let count = update.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn remove_anomaly_rule(&mut self, developer: &DeveloperId, id: &AnomalyRuleId) -> Result<bool, StoreError> {
        let own = anomaly_rules::table
            .find(id.as_str())
            .filter(anomaly_rules::developer_id.eq(developer.as_str()));
        let count = diesel::delete(own).execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn insert_anomaly_mute(&mut self, developer: &DeveloperId, mute: &Mute) -> Result<(), StoreError> {
        let insert = diesel::insert_into(anomaly_mutes::table).values(MuteRow::new(developer, mute));
        let count = insert.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn remove_anomaly_mute(&mut self, developer: &DeveloperId, id: &AnomalyMuteId) -> Result<bool, StoreError> {
        let own = anomaly_mutes::table
            .find(id.as_str())
            .filter(anomaly_mutes::developer_id.eq(developer.as_str()));
        let count = diesel::delete(own).execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn put_response_policy(
        &mut self,
        developer: &DeveloperId,
        policy: &ResponsePolicy,
    ) -> Result<(), StoreError> {
        let row = ResponsePolicyRow::new(developer, policy);
        let after = (
            anomaly_response_policies::mode.eq(row.mode.clone()),
            anomaly_response_policies::policies.eq(row.policies.clone()),
        );
        let upsert = diesel::insert_into(anomaly_response_policies::table)
            .values(row)
            .on_conflict(anomaly_response_policies::developer_id)
            .do_update()
            .set(after);
        let count = upsert.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn insert_response(&mut self, response: &PendingResponse) -> Result<(), StoreError> {
        let insert = diesel::insert_into(anomaly_responses::table).values(ResponseRow::from(response));
        let count = insert.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn update_response(&mut self, response: &PendingResponse) -> Result<(), StoreError> {
        let row = ResponseRow::from(response);
        let update = diesel::update(anomaly_responses::table.find(row.anomaly_id)).set((
            anomaly_responses::after_at.eq(row.after_at),
            anomaly_responses::after_id.eq(row.after_id),
            anomaly_responses::revoked.eq(row.revoked),
            anomaly_responses::grant_ids.eq(row.grant_ids),
        ));
        let count = update.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn remove_response(&mut self, id: &AnomalyId) -> Result<bool, StoreError> {
        let gone = diesel::delete(anomaly_responses::table.find(id.as_str()));
        let count = gone.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn remove_activities(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.sweep(ACTIVITIES, before, limit).await
    }

    async fn remove_anomalies(&mut self, unresolved: bool, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let sql = if unresolved { UNRESOLVED } else { RESOLVED };
        self.sweep(sql, before, limit).await
    }

    async fn remove_anomaly_mutes(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.sweep(MUTES, before, limit).await
    }
}
