//! What developers do with anomalies, rules and mutes.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::activity::Activity;
use super::alert::{Anomaly, AnomalyCount, AnomalyFilter, AnomalyStatus};
use super::book::{RuleBook, RuleOverride};
use super::channel::ChannelProblem;
use super::custom::{Condition, ConditionError, CustomRule, MAX_RULES, Mute};
use super::rules::{Rule, rule_named};
use super::{AnomalyKind, Severity};
use crate::clock::{Lifetime, Timestamp};
use crate::closed;
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::Event;
use crate::grantex::{Grantex, Unit};
use crate::id::{AgentId, AnomalyId, AnomalyMuteId, AnomalyRuleId, DeveloperId, new_id};
use crate::page::{Page, PageRequest};
use crate::store::Store;
use crate::token::signer::SignError;

/// Mutes that one developer may have at a time.
pub const MAX_MUTES: usize = 100;
/// The longest mute.
pub const LONGEST_MUTE: Lifetime = Lifetime::days(90);

closed! {
    /// What somebody did about anomalies.
    pub enum AnomalyChange {
        /// An anomaly was acknowledged.
        Acknowledged = "acknowledged",
        /// An anomaly was resolved.
        Resolved = "resolved",
        /// A rule was made.
        RuleCreated = "rule_created",
        /// A rule was switched on or off, or its thresholds changed.
        RuleChanged = "rule_changed",
        /// A rule was removed.
        RuleDeleted = "rule_deleted",
        /// A mute was made.
        MuteCreated = "mute_created",
        /// A mute was removed.
        MuteDeleted = "mute_deleted",
        /// A channel was made.
        ChannelCreated = "channel_created",
        /// A channel was switched on or off, or its name or severities changed.
        ChannelChanged = "channel_changed",
        /// A channel was sent a test.
        ChannelTested = "channel_tested",
        /// The server switched a channel off: its receiver is gone, or had failed for days.
        ChannelDisabled = "channel_disabled",
        /// A channel was removed.
        ChannelDeleted = "channel_deleted",
    }
}

/// Why an anomaly, rule or mute was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AnomalyError {
    /// There is none with this id.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The condition cannot be evaluated.
    #[error(transparent)]
    Condition(#[from] ConditionError),
    /// A rule of this `ruleId` is there already, or is one of the server's.
    #[error("ruleId is taken")]
    RuleIdTaken,
    /// There are as many as there may be.
    #[error("at most {limit} {what} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: usize,
    },
    /// A rule of the server has no such threshold.
    #[error("thresholds.{0} is not a threshold of this rule")]
    UnknownThreshold(String),
    /// A threshold is out of bounds.
    #[error("thresholds.{name} must be a number from {min} to {max}")]
    Threshold {
        /// Which.
        name: &'static str,
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// A developer's own rule has its thresholds in its condition.
    #[error("thresholds belong to the rules of the server; this rule has a condition")]
    NoThresholds,
    /// A mute that would never silence anything, or for too long.
    #[error("endsAt must lie in the future, after startsAt, and at most 90 days after it")]
    MuteTimes,
    /// A channel cannot be like this.
    #[error(transparent)]
    Channel(#[from] ChannelProblem),
    /// This service tells nobody.
    #[error("this server sends no notifications")]
    NoChannels,
    /// A channel's secret could not be sealed.
    #[error("sealing the secret failed")]
    Sealing(#[from] SignError),
    /// A response policy that cannot be followed.
    #[error("policies {problem}")]
    ResponsePolicy {
        /// Which one, from 0; `None`: all together.
        place: Option<usize>,
        /// What is wrong with the list, or with the rules that this one names.
        problem: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A rule as a developer wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateRule {
    /// The developer's name for it.
    pub rule_id: String,
    /// A title.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The severity of its findings.
    pub severity: Severity,
    /// What it looks for.
    pub condition: Map<String, Value>,
}

/// A change of a rule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChangeRule {
    /// On or off.
    pub is_enabled: Option<bool>,
    /// Thresholds of a rule of the server, by name; `None` puts the default back.
    pub thresholds: BTreeMap<String, Option<f64>>,
}

/// A rule that was changed.
#[derive(Debug, Clone)]
pub enum ChangedRule {
    /// One of the server's.
    Server(&'static Rule, RuleOverride),
    /// One of the developer's.
    Custom(Box<CustomRule>),
}

/// A mute as a developer wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateMute {
    /// Only of this kind.
    pub kind: Option<AnomalyKind>,
    /// Only of this agent.
    pub agent_id: Option<AgentId>,
    /// From when; now without it.
    pub starts_at: Option<Timestamp>,
    /// Until when.
    pub ends_at: Timestamp,
    /// Why.
    pub reason: String,
}

impl<S: Store> Grantex<S> {
    /// A developer's anomalies, newest first.
    pub async fn anomalies(
        &self,
        developer: &Developer,
        filter: AnomalyFilter,
        page: PageRequest,
    ) -> Result<Page<Anomaly>, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| Box::pin(async move { tx.anomalies(&developer, &filter, &page).await }))
            .await
    }

    /// An anomaly of this developer.
    pub async fn anomaly(&self, developer: &Developer, id: AnomalyId) -> Result<Anomaly, AnomalyError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| Box::pin(async move { Ok(tx.anomaly(&developer, &id).await?) }))
            .await
            .and_then(|found: Option<Anomaly>| found.ok_or(AnomalyError::NotFound("anomaly")))
    }

    /// How many anomalies were raised since then, by severity and status.
    pub async fn count_anomalies(
        &self,
        developer: &Developer,
        agent: Option<String>,
        since: Timestamp,
    ) -> Result<Vec<AnomalyCount>, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| Box::pin(async move { tx.count_anomalies(&developer, agent.as_deref(), since).await }))
            .await
    }

    /// How many anomalies of all developers are open.
    pub async fn open_anomalies(&self) -> Result<i64, StoreError> {
        self.store
            .read(|tx| Box::pin(async move { tx.open_anomalies().await }))
            .await
    }

    /// Says that an anomaly is known of. What was measured counts as usual for this agent and rule for 30 days.
    pub async fn acknowledge_anomaly(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: AnomalyId,
        note: Option<String>,
    ) -> Result<Anomaly, AnomalyError> {
        self.change_anomaly(ctx, developer, id, AnomalyChange::Acknowledged, note)
            .await
    }

    /// Says that an anomaly is dealt with. Nothing is learnt from it.
    pub async fn resolve_anomaly(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: AnomalyId,
        note: Option<String>,
    ) -> Result<Anomaly, AnomalyError> {
        self.change_anomaly(ctx, developer, id, AnomalyChange::Resolved, note)
            .await
    }

    async fn change_anomaly(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: AnomalyId,
        change: AnomalyChange,
        note: Option<String>,
    ) -> Result<Anomaly, AnomalyError> {
        let developer = developer.id.clone();
        self.transact(ctx, None, move |unit| {
            Box::pin(async move {
                // Taken first, so that of two who change the same anomaly one sees what the other did.
                unit.tx.touch_anomaly_cursor(&developer).await?;
                let found = unit.tx.anomaly(&developer, &id).await?;
                let before = found.ok_or(AnomalyError::NotFound("anomaly"))?;
                let is_news = before.status == AnomalyStatus::Open;
                let after = match change {
                    AnomalyChange::Resolved => before.resolve(note, unit.now),
                    _ => before.acknowledge(note, unit.now),
                };
                unit.tx.update_anomaly(&after).await?;
                if is_news && after.status == AnomalyStatus::Acknowledged && after.level > 0 {
                    learn(unit, &after).await?;
                }
                unit.record(Event::AnomalyChanged {
                    subject: after.id.to_string(),
                    change,
                });
                Ok(after)
            })
        })
        .await
    }

    /// How a developer wants to be watched.
    pub async fn rule_book(&self, developer: &Developer) -> Result<RuleBook, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| Box::pin(async move { tx.rule_book(&developer).await }))
            .await
    }

    /// Makes a rule. It counts from now on.
    pub async fn create_anomaly_rule(
        &self,
        ctx: &Context,
        developer: &Developer,
        wish: CreateRule,
    ) -> Result<CustomRule, AnomalyError> {
        let condition = Condition::parse(&wish.condition)?;
        // Rules are named by either; one must not go by another's id.
        if rule_named(&wish.rule_id).is_some() || AnomalyRuleId::parse(&wish.rule_id).is_some() {
            return Err(AnomalyError::RuleIdTaken);
        }
        let developer = developer.id.clone();
        self.transact(ctx, None, move |unit| {
            Box::pin(async move {
                unit.tx.touch_anomaly_cursor(&developer).await?;
                if unit.tx.rule_book(&developer).await?.custom.len() >= MAX_RULES {
                    return Err(AnomalyError::TooMany {
                        what: "rules",
                        limit: MAX_RULES,
                    });
                }
                let rule = CustomRule {
                    id: new_id(unit.random(), unit.now),
                    rule_id: wish.rule_id,
                    name: wish.name,
                    description: wish.description,
                    severity: wish.severity,
                    condition,
                    condition_text: Value::Object(wish.condition).to_string(),
                    is_enabled: true,
                    created_at: unit.now,
                };
                if !unit.tx.insert_anomaly_rule(&developer, &rule).await? {
                    return Err(AnomalyError::RuleIdTaken);
                }
                unit.record(changed(&rule.id.to_string(), AnomalyChange::RuleCreated));
                Ok(rule)
            })
        })
        .await
    }

    /// Changes a rule, which is named by its id (`AD-001`, `arule_…`), its kind, or the developer's `ruleId`.
    pub async fn change_anomaly_rule(
        &self,
        ctx: &Context,
        developer: &Developer,
        named: String,
        change: ChangeRule,
    ) -> Result<ChangedRule, AnomalyError> {
        let developer = developer.id.clone();
        self.transact(ctx, None, move |unit| {
            Box::pin(async move {
                unit.tx.touch_anomaly_cursor(&developer).await?;
                let book = unit.tx.rule_book(&developer).await?;
                if let Some(rule) = rule_named(&named) {
                    unit.record(changed(rule.id, AnomalyChange::RuleChanged));
                    let after = overridden(rule, &book, &change)?;
                    unit.tx.put_rule_override(&developer, &after).await?;
                    return Ok(ChangedRule::Server(rule, after));
                }
                let mut rule = own_rule(book, &named)?;
                unit.record(changed(rule.id.as_str(), AnomalyChange::RuleChanged));
                if !change.thresholds.is_empty() {
                    return Err(AnomalyError::NoThresholds);
                }
                rule.is_enabled = change.is_enabled.unwrap_or(rule.is_enabled);
                unit.tx
                    .enable_anomaly_rule(&developer, &rule.id, rule.is_enabled)
                    .await?;
                Ok(ChangedRule::Custom(Box::new(rule)))
            })
        })
        .await
    }

    /// Removes one of the developer's own rules, which is named by its id or its `ruleId`. What it found stays.
    pub async fn delete_anomaly_rule(
        &self,
        ctx: &Context,
        developer: &Developer,
        named: String,
    ) -> Result<(), AnomalyError> {
        let developer = developer.id.clone();
        self.transact(ctx, None, move |unit| {
            Box::pin(async move {
                unit.tx.touch_anomaly_cursor(&developer).await?;
                let rule = own_rule(unit.tx.rule_book(&developer).await?, &named)?;
                unit.tx.remove_anomaly_rule(&developer, &rule.id).await?;
                unit.record(changed(rule.id.as_str(), AnomalyChange::RuleDeleted));
                Ok(())
            })
        })
        .await
    }

    /// Makes a mute: in its time nothing of its kind and agent is raised.
    pub async fn create_anomaly_mute(
        &self,
        ctx: &Context,
        developer: &Developer,
        wish: CreateMute,
    ) -> Result<Mute, AnomalyError> {
        let developer = developer.id.clone();
        self.transact(ctx, None, move |unit| {
            Box::pin(async move {
                let starts_at = wish.starts_at.unwrap_or(unit.now);
                let is_sound = wish.ends_at > unit.now
                    && wish.ends_at > starts_at
                    && wish.ends_at.since(starts_at) <= LONGEST_MUTE;
                if !is_sound {
                    return Err(AnomalyError::MuteTimes);
                }
                unit.tx.touch_anomaly_cursor(&developer).await?;
                if unit.tx.rule_book(&developer).await?.mutes.len() >= MAX_MUTES {
                    return Err(AnomalyError::TooMany {
                        what: "mutes",
                        limit: MAX_MUTES,
                    });
                }
                let mute = Mute {
                    id: new_id(unit.random(), unit.now),
                    kind: wish.kind,
                    agent_id: wish.agent_id,
                    starts_at,
                    ends_at: wish.ends_at,
                    reason: wish.reason,
                    created_at: unit.now,
                };
                unit.tx.insert_anomaly_mute(&developer, &mute).await?;
                unit.record(changed(mute.id.as_str(), AnomalyChange::MuteCreated));
                Ok(mute)
            })
        })
        .await
    }

    /// Ends a mute.
    pub async fn delete_anomaly_mute(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: AnomalyMuteId,
    ) -> Result<(), AnomalyError> {
        let developer = developer.id.clone();
        self.transact(ctx, None, move |unit| {
            Box::pin(async move {
                unit.tx.touch_anomaly_cursor(&developer).await?;
                if !unit.tx.remove_anomaly_mute(&developer, &id).await? {
                    return Err(AnomalyError::NotFound("mute"));
                }
                unit.record(changed(id.as_str(), AnomalyChange::MuteDeleted));
                Ok(())
            })
        })
        .await
    }
}

fn changed(subject: &str, change: AnomalyChange) -> Event {
    Event::AnomalyChanged {
        subject: subject.to_owned(),
        change,
    }
}

fn own_rule(book: RuleBook, named: &str) -> Result<CustomRule, AnomalyError> {
    let is_named = |rule: &CustomRule| rule.rule_id == named || rule.id.as_str() == named;
    book.custom
        .into_iter()
        .find(is_named)
        .ok_or(AnomalyError::NotFound("rule"))
}

fn overridden(rule: &'static Rule, book: &RuleBook, change: &ChangeRule) -> Result<RuleOverride, AnomalyError> {
    let mut after = book.override_of(rule.kind).cloned().unwrap_or(RuleOverride {
        kind: rule.kind,
        is_enabled: true,
        thresholds: BTreeMap::new(),
    });
    after.is_enabled = change.is_enabled.unwrap_or(after.is_enabled);
    for (name, value) in &change.thresholds {
        let known = rule.thresholds.iter().find(|threshold| threshold.name == name);
        let known = known.ok_or_else(|| AnomalyError::UnknownThreshold(name.chars().take(64).collect()))?;
        match value {
            None => {
                after.thresholds.remove(name);
            }
            Some(value) if (known.min..=known.max).contains(value) => {
                after.thresholds.insert(name.clone(), *value);
            }
            Some(_) => {
                return Err(AnomalyError::Threshold {
                    name: known.name,
                    min: known.min,
                    max: known.max,
                });
            }
        }
    }
    Ok(after)
}

/// Lets the agent's activity know what was acknowledged.
async fn learn(unit: &mut Unit<'_>, anomaly: &Anomaly) -> Result<(), StoreError> {
    let (developer, now): (&DeveloperId, Timestamp) = (&anomaly.developer_id, unit.now);
    let agent = anomaly.agent_id.clone().unwrap_or_default();
    let stored = unit.tx.activities(developer, std::slice::from_ref(&agent)).await?;
    let Some((_, text)) = stored.into_iter().next() else {
        return Ok(());
    };
    let mut activity = Activity::from_stored(&text).unwrap_or_default();
    activity.accept(anomaly.kind, anomaly.level, now);
    unit.tx
        .put_activities(developer, &[(agent, activity.to_stored())], now)
        .await
}
