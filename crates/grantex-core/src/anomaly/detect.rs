//! One pass over what one developer's agents did since the last one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::activity::{Activity, DEVELOPER};
use super::alert::Anomaly;
use super::book::RuleBook;
use super::detector::Detector;
use super::entry::signal_of;
use super::finding::Finding;
use super::recent::Entries;
use super::rules;
use super::signal::{Signal, SignalKind, Subject};
use super::watcher::{Found, Standing, Watcher};
use crate::audit::{AuditEntry, AuditFilter, Chain};
use crate::clock::{Lifetime, Timestamp};
use crate::context::Context;
use crate::error::StoreError;
use crate::event::Event;
use crate::grantex::Grantex;
use crate::id::{AnomalyId, DeveloperId, GrantId, new_id};
use crate::page::{Cursor, PageRequest, PageStart};
use crate::store::{AnomalyCursor, Reads, Store};

/// Entries of each chain that one pass reads at most.
const BATCH: u32 = 1_000;
/// Entries behind the end of a chain from which on the oldest are skipped, so that a long pause does not delay the present.
const MAX_BACKLOG: i64 = 100_000;
/// How often a pass begins anew because another server was faster.
const ATTEMPTS: u32 = 5;
/// How old a window may be to be told of: what a first look finds in an old chain is learnt from, and not raised.
const STALE: Lifetime = Lifetime::hours(24);

/// What a pass did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detected {
    /// Anomalies that it raised.
    pub raised: Vec<AnomalyId>,
    /// How many of them are to be responded to: [`Grantex::respond_to_anomalies`].
    pub responses: u64,
    /// Signals that it folded.
    pub signals: u64,
    /// Entries that it skipped because they were too many.
    pub skipped: u64,
    /// When the oldest signal happened.
    pub oldest: Option<Timestamp>,
    /// There is more to fold already.
    pub is_behind: bool,
}

/// What a pass has read before it folds.
struct Batch {
    cursor: AnomalyCursor,
    next: AnomalyCursor,
    book: Arc<RuleBook>,
    signals: Vec<Signal>,
    /// Positions of signals that are the first grant of their pair.
    newcomers: HashSet<usize>,
    /// Agents that are registered or have an activity.
    known: HashSet<String>,
    activities: HashMap<String, Activity>,
    skipped: u64,
    is_behind: bool,
}

/// What a pass will write.
struct Folded {
    activities: Vec<(String, String)>,
    findings: Vec<(String, Finding)>,
}

impl<S: Store> Grantex<S> {
    /// Looks through what a developer's agents did since the last time, and raises what the rules find in it.
    ///
    /// Entries of the audit chains are each looked at once, by whichever server comes first; signals that wait in the detector's queue go
    /// with them. Activities, cursor, anomalies, their events and what is to be done about them are one transaction: on any error everything
    /// is looked at again.
    /// Costs some three reads and one write; more when agents appear for the first time since the start.
    pub async fn detect_anomalies(&self, ctx: &Context, developer: &DeveloperId) -> Result<Detected, StoreError> {
        let detector = self.detector();
        let signals = detector.take(developer);
        let entries = detector.take_entries(developer);
        for _ in 0..ATTEMPTS {
            match self.pass(ctx, developer, &detector, (&signals, &entries)).await {
                Ok(Some(detected)) => return Ok(detected),
                Ok(None) => {}
                Err(error) => {
                    detector.give_back(developer, signals);
                    return Err(error);
                }
            }
        }
        detector.give_back(developer, signals);
        Err(StoreError::unavailable(
            "other servers kept changing what the pass had read",
        ))
    }

    /// `None`: somebody else changed the developer's activities meanwhile, and nothing was written.
    async fn pass(
        &self,
        ctx: &Context,
        developer: &DeveloperId,
        detector: &Arc<Detector>,
        (signals, entries): (&[Signal], &Entries),
    ) -> Result<Option<Detected>, StoreError> {
        let (id, shared) = (developer.clone(), Arc::clone(detector));
        let (queued, entries) = (signals.to_vec(), entries.clone());
        let batch = self
            .store
            .read(move |tx| Box::pin(async move { read_batch(tx, &id, &shared, queued, entries).await }))
            .await?;
        let Some(batch) = batch else {
            return Ok(Some(Detected::default()));
        };
        let mut detected = Detected {
            raised: Vec::new(),
            responses: 0,
            signals: batch.signals.iter().map(|signal| u64::from(signal.weight)).sum(),
            skipped: batch.skipped,
            oldest: batch.signals.iter().map(|signal| signal.at).min(),
            is_behind: batch.is_behind,
        };
        let (cursor, next, book) = (batch.cursor, batch.next, Arc::clone(&batch.book));
        let folded = fold(batch, self.now());
        let activities = folded.activities.clone();
        let Some((raised, responses)) = self
            .write_pass(ctx, developer, (cursor.version, next), folded, &book)
            .await?
        else {
            return Ok(None);
        };
        detector.passed(detected.signals, detected.skipped);
        detector.remember(developer, (cursor.version, next.version), book, &activities);
        (detected.raised, detected.responses) = (raised, responses);
        Ok(Some(detected))
    }

    async fn write_pass(
        &self,
        ctx: &Context,
        developer: &DeveloperId,
        (version, next): (i64, AnomalyCursor),
        folded: Folded,
        book: &Arc<RuleBook>,
    ) -> Result<Option<(Vec<AnomalyId>, u64)>, StoreError> {
        let (id, book) = (developer.clone(), Arc::clone(book));
        // Only what is told to the developer needs its head.
        let owner = (!folded.findings.is_empty()).then_some(developer);
        self.transact_with(ctx, None, owner, move |unit| {
            Box::pin(async move {
                if !unit.tx.advance_anomaly_cursor(&id, version, &next).await? {
                    return Ok(None);
                }
                unit.tx.put_activities(&id, &folded.activities, unit.now).await?;
                let (mut raised, mut responses) = (Vec::new(), 0);
                for (agent, finding) in folded.findings {
                    let rule_id = rule_id(&finding, &book);
                    let anomaly_id: AnomalyId = new_id(unit.random(), unit.now);
                    let anomaly = Anomaly::raise(finding, anomaly_id, id.clone(), &agent, rule_id, unit.now);
                    if unit.tx.insert_anomaly(&anomaly).await? {
                        if let Some(response) = book.response.respond(&anomaly, unit.now) {
                            unit.tx.insert_response(&response).await?;
                            responses += 1;
                        }
                        raised.push(anomaly.id.clone());
                        unit.record(Event::AnomalyDetected(Box::new(anomaly)));
                    }
                }
                Ok(Some((raised, responses)))
            })
        })
        .await
    }

    /// Up to `limit` developers behind `after` whose chains are longer than they have been looked through: what nobody was called
    /// for, for example because the server that wrote it is gone.
    pub async fn developers_to_look_at(
        &self,
        after: Option<DeveloperId>,
        limit: u32,
    ) -> Result<Vec<DeveloperId>, StoreError> {
        self.store
            .read(move |tx| Box::pin(async move { tx.developers_with_signals(after.as_ref(), limit).await }))
            .await
    }
}

fn rule_id(finding: &Finding, book: &RuleBook) -> String {
    match &finding.custom {
        None => rules::rule_of(finding.kind).map(|rule| rule.id.to_owned()),
        Some(id) => book
            .custom
            .iter()
            .find(|rule| rule.id == *id)
            .map(|rule| rule.rule_id.clone()),
    }
    .unwrap_or_default()
}

/// `None` when there is nothing to fold.
async fn read_batch(
    tx: &mut dyn Reads,
    developer: &DeveloperId,
    detector: &Detector,
    queued: Vec<Signal>,
    mut entries: Entries,
) -> Result<Option<Batch>, StoreError> {
    let Some(position) = tx.anomaly_position(developer).await? else {
        return Ok(None);
    };
    let cursor = position.cursor;
    let mut next = AnomalyCursor {
        version: cursor.version + 1,
        ..cursor
    };
    let mut signals = queued;
    let mut skipped = 0;
    for (chain, seq, end) in [
        (Chain::Caller, &mut next.caller_seq, position.caller_end),
        (Chain::Server, &mut next.server_seq, position.server_end),
    ] {
        let oldest = end.saturating_sub(MAX_BACKLOG).max(*seq);
        skipped += u64::try_from(oldest - *seq).unwrap_or(0);
        *seq = oldest;
        signals.extend(entries.take_following(chain, seq, end));
        if *seq < end {
            let entries = entries_behind(tx, developer, chain, *seq).await?;
            *seq = entries.last().map_or(end, |entry| entry.seq);
            signals.extend(entries.iter().filter_map(signal_of));
        }
    }
    if signals.is_empty() && next.caller_seq == cursor.caller_seq && next.server_seq == cursor.server_seq {
        return Ok(None);
    }
    // Stable, so that what is of one millisecond stays in the order of its chain.
    signals.sort_by_key(|signal| signal.at);
    let book = match detector.known_book(developer, cursor.version) {
        Some(book) => book,
        None => Arc::new(tx.rule_book(developer).await?),
    };
    let mut agents: Vec<String> = signals.iter().map(key_of).collect();
    agents.sort_unstable();
    agents.dedup();
    let version = cursor.version;
    let mut activities = read_activities(tx, developer, detector, version, &agents).await?;
    let known = known_agents(tx, developer, &activities, &signals).await?;
    if !activities.contains_key(DEVELOPER) && signals.iter().any(|signal| is_stranger(signal, &known)) {
        let whole = [DEVELOPER.to_owned()];
        activities.extend(read_activities(tx, developer, detector, version, &whole).await?);
    }
    let newcomers = newcomers(tx, developer, &activities, &signals).await?;
    Ok(Some(Batch {
        is_behind: next.caller_seq < position.caller_end || next.server_seq < position.server_end,
        cursor,
        next,
        book,
        signals,
        newcomers,
        known,
        activities,
        skipped,
    }))
}

async fn entries_behind(
    tx: &mut dyn Reads,
    developer: &DeveloperId,
    chain: Chain,
    seq: i64,
) -> Result<Vec<AuditEntry>, StoreError> {
    let page = PageRequest {
        size: BATCH,
        from: PageStart::After(Cursor {
            at: seq,
            id: String::new(),
        }),
    };
    let page = tx
        .audit_entries(developer, chain, &AuditFilter::default(), &page)
        .await?;
    Ok(page.items)
}

/// Whose activity a signal belongs to.
fn key_of(signal: &Signal) -> String {
    match &signal.subject {
        Subject::Agent(id) => id.to_string(),
        Subject::Unreadable | Subject::None => DEVELOPER.to_owned(),
    }
}

/// Whether a signal names something that is no agent of this developer.
fn is_stranger(signal: &Signal, known: &HashSet<String>) -> bool {
    match &signal.subject {
        Subject::Agent(id) => !known.contains(id.as_str()),
        Subject::Unreadable => true,
        Subject::None => false,
    }
}

async fn read_activities(
    tx: &mut dyn Reads,
    developer: &DeveloperId,
    detector: &Detector,
    version: i64,
    agents: &[String],
) -> Result<HashMap<String, Activity>, StoreError> {
    let known = detector.known_activities(developer, version, agents);
    let missing: Vec<String> = agents
        .iter()
        .filter(|agent| !known.contains_key(*agent))
        .cloned()
        .collect();
    let stored = if missing.is_empty() {
        Vec::new()
    } else {
        tx.activities(developer, &missing).await?
    };
    let known = known.iter().map(|(agent, text)| (agent.as_str(), text.as_ref()));
    let stored = stored.iter().map(|(agent, text)| (agent.as_str(), text.as_str()));
    Ok(known
        .chain(stored)
        // What cannot be read, perhaps because a newer server wrote it, is learnt anew: one agent must not hold up all others.
        .map(|(agent, text)| (agent.to_owned(), Activity::from_stored(text).unwrap_or_default()))
        .collect())
}

/// The agents among the subjects that are no strangers. What the server itself wrote down is about agents that were registered then.
async fn known_agents(
    tx: &mut dyn Reads,
    developer: &DeveloperId,
    activities: &HashMap<String, Activity>,
    signals: &[Signal],
) -> Result<HashSet<String>, StoreError> {
    let mut known: HashSet<String> = activities.keys().cloned().collect();
    let mut asked: HashSet<&str> = HashSet::new();
    for signal in signals {
        let Subject::Agent(agent) = &signal.subject else {
            continue;
        };
        if known.contains(agent.as_str()) {
            continue;
        }
        let is_claimed = matches!(
            signal.kind,
            SignalKind::AuditEntry | SignalKind::Authorize | SignalKind::Exchange | SignalKind::Refresh
        );
        let is_known = if is_claimed {
            asked.insert(agent.as_str()) && tx.agent(developer, agent).await?.is_some()
        } else {
            true
        };
        if is_known {
            known.insert(agent.to_string());
        }
    }
    Ok(known)
}

/// The grants among the signals before which the agent had none of that principal.
async fn newcomers(
    tx: &mut dyn Reads,
    developer: &DeveloperId,
    activities: &HashMap<String, Activity>,
    signals: &[Signal],
) -> Result<HashSet<usize>, StoreError> {
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    let mut asked: HashMap<GrantId, usize> = HashMap::new();
    for (place, signal) in signals.iter().enumerate() {
        let (SignalKind::Grant, Subject::Agent(agent)) = (signal.kind, &signal.subject) else {
            continue;
        };
        let is_known = activities
            .get(agent.as_str())
            .is_some_and(|activity| activity.knows_principal(&signal.principal_id));
        if is_known || !seen.insert((agent.as_str(), &signal.principal_id)) {
            continue;
        }
        asked.extend(GrantId::parse(&signal.grant_id).map(|grant| (grant, place)));
    }
    if asked.is_empty() {
        return Ok(HashSet::new());
    }
    let grants: Vec<GrantId> = asked.keys().cloned().collect();
    let first = tx.first_grants(developer, &grants).await?;
    Ok(first.iter().filter_map(|grant| asked.get(grant).copied()).collect())
}

/// Folds signals in the order of time, each into the activity that it belongs to.
fn fold(batch: Batch, now: Timestamp) -> Folded {
    let Batch {
        book,
        signals,
        newcomers,
        known,
        mut activities,
        ..
    } = batch;
    let mut watchers: BTreeMap<String, Watcher> = BTreeMap::new();
    let mut found: Vec<(String, Found)> = Vec::new();
    for (place, signal) in signals.iter().enumerate() {
        let (key, standing) = match (is_stranger(signal, &known), newcomers.contains(&place)) {
            (true, _) => (DEVELOPER.to_owned(), Standing::Stranger),
            (false, true) => (key_of(signal), Standing::FirstOfPrincipal),
            (false, false) => (key_of(signal), Standing::Known),
        };
        let watcher = watchers.entry(key.clone()).or_insert_with(|| {
            let activity = activities.remove(&key).unwrap_or_default();
            Watcher::new(activity, key.clone())
        });
        found.extend(
            watcher
                .take(signal, standing, &book)
                .into_iter()
                .map(|one| (key.clone(), one)),
        );
    }
    // In the order of keys, so that all lock rows in one order.
    let mut folded = Vec::with_capacity(watchers.len());
    for (key, watcher) in watchers {
        let (activity, last) = watcher.finish(&book);
        found.extend(last.into_iter().map(|one| (key.clone(), one)));
        folded.push((key, activity.to_stored()));
    }
    found.retain(|(_, one)| one.finding.window_end.plus(STALE) > now);
    Folded {
        activities: folded,
        findings: found.into_iter().map(|(agent, one)| (agent, one.finding)).collect(),
    }
}
