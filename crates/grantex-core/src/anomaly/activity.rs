//! What one agent did lately: all that rules look at, in bounded space.

use super::baseline::{Baseline, is_night};
use super::codec::{Malformed, Reader, Writer, bytes_of};
use super::custom::{CustomCounts, CustomRule};
use super::fingerprint::{fingerprint, short_fingerprint};
use super::ring::{HOUR, MINUTE, Ring};
use super::seen::{KnownScopes, Places, Reach, RecentPrincipals, SeenTokens, Sessions};
use super::signal::{Signal, SignalKind};
use super::{AnomalyKind, Finding, Severity};
use crate::clock::{Lifetime, Timestamp};

/// The first number of the stored form.
const FORM: u64 = 1;
/// Minutes for which a session counts as one of several at once.
pub const SESSION_MINUTES: u32 = 60;
/// Minutes within which one token in several networks is a replay.
pub const REPLAY_MINUTES: u32 = 10;
/// Days within which steps to wider scopes add up.
pub const STEP_DAYS: u32 = 7;
/// Steps that are remembered.
const STEPS: usize = 16;
/// How long an acknowledgement raises the bar.
const ACCEPTED_DAYS: u32 = 30;
/// Things of one kind that one pass remembers for its findings.
const FRESH: usize = 16;
/// Kinds of anomalies.
const KINDS: usize = AnomalyKind::ALL.len();

/// The minute since the epoch that an instant belongs to.
pub fn minute_of(at: Timestamp) -> u32 {
    u32::try_from(at.as_millis().div_euclid(MINUTE)).unwrap_or(0)
}

/// The hour since the epoch that an instant belongs to.
pub fn hour_of(at: Timestamp) -> u32 {
    u32::try_from(at.as_millis().div_euclid(HOUR)).unwrap_or(0)
}

/// One token from several networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Whose token.
    pub principal_id: String,
    /// The token.
    pub token_id: String,
    /// Where.
    pub places: Places,
}

/// A grant with scopes that the agent never had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewScopes {
    /// Whose grant.
    pub principal_id: String,
    /// The unknown ones.
    pub scopes: Vec<String>,
    /// The furthest reach among them.
    pub reach: Reach,
    /// The furthest reach that the agent had before, if it had any.
    pub before: Option<Reach>,
}

/// What the signals of this pass brought that was not there before. Not stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fresh {
    /// Principals of grants that nobody knew, with their number among the day's.
    pub newcomers: Vec<(String, u32)>,
    /// Unknown scopes.
    pub scopes: Vec<NewScopes>,
    /// Refresh tokens that were used a second time: whose.
    pub reuse: Vec<String>,
    /// Tokens in several networks.
    pub replays: Vec<Replay>,
    /// The principal with the most sessions at once, and how many.
    pub sessions: Option<(String, u32)>,
    /// The deepest delegation and its principal.
    pub depth: Option<(String, u32)>,
}

/// The level of an acknowledged finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Accepted {
    level: u32,
    day: u32,
}

/// What one agent did lately.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Activity {
    /// Signals of any kind, by minute.
    pub signals: Ring<60>,
    /// The developer's audit entries, by minute.
    pub entries: Ring<60>,
    /// The developer's audit entries, by hour.
    pub entries_by_hour: Ring<24>,
    /// Those of them that tell of a failure or a refusal, by hour.
    pub failures_by_hour: Ring<24>,
    /// Revocations that were not routine, by minute.
    pub revocations: Ring<60>,
    /// Uses of used refresh tokens, by hour.
    pub reuse: Ring<24>,
    /// References to agents that nobody registered, by minute. Only the developer's own activity has them.
    pub unknown: Ring<60>,
    /// What is usual.
    pub baseline: Baseline,
    /// Scopes that were granted.
    pub scopes: KnownScopes,
    /// When grants brought unknown scopes to an agent with a past, in minutes since the epoch.
    pub steps: Vec<u32>,
    principals: RecentPrincipals,
    sessions: Sessions,
    tokens: SeenTokens,
    /// Counts of the developer's own rules.
    pub custom: CustomCounts,
    /// For each kind, the window in which it was raised last.
    raised: [i64; KINDS],
    accepted: [Accepted; KINDS],
    /// What is new in this pass.
    pub fresh: Fresh,
}

/// The key of a developer's activity as a whole, in the place of an agent.
pub const DEVELOPER: &str = "";

impl Activity {
    /// Whether `principal` is known without asking the store; if not, and a grant came into being for it, whoever folds the signal
    /// asks the store for an earlier one.
    pub fn knows_principal(&self, principal: &str) -> bool {
        self.principals.knows(fingerprint(principal))
    }

    /// Takes a signal in. `is_newcomer`: the signal is a grant, the first of this agent and this principal.
    pub fn fold(&mut self, signal: &Signal, is_newcomer: bool, rules: &[CustomRule]) {
        let (minute, hour) = (minute_of(signal.at), hour_of(signal.at));
        let weight = signal.weight;
        // The exchange or delegation behind a grant counts by itself.
        let counted = if signal.kind == SignalKind::Grant { 0 } else { weight };
        self.baseline.count(hour, counted);
        self.signals.add(minute, counted);
        match signal.kind {
            SignalKind::AuditEntry => self.fold_entry(signal, minute, hour),
            SignalKind::Grant => self.fold_grant(signal, is_newcomer, hour / 24),
            SignalKind::Revocation if !signal.is_routine => self.revocations.add(minute, weight),
            SignalKind::RefreshReuse => {
                self.reuse.add(hour, weight);
                self.fresh.reuse.push(signal.principal_id.clone());
            }
            SignalKind::Verification => self.fold_verification(signal, minute),
            SignalKind::Authorize
            | SignalKind::Consent
            | SignalKind::Exchange
            | SignalKind::Refresh
            | SignalKind::Delegation
            | SignalKind::Revocation
            | SignalKind::Denial
            | SignalKind::CodeReuse => {}
        }
        if !signal.is_failure
            && matches!(
                signal.kind,
                SignalKind::Exchange | SignalKind::Refresh | SignalKind::Delegation | SignalKind::Verification
            )
        {
            self.note_session(signal, minute);
        }
        self.custom.count(rules, signal);
        let five = self.signals.sum(minute, 5);
        if let Some(day) = self.baseline.today().filter(|day| day.number == hour / 24) {
            day.peak_five_minutes = day.peak_five_minutes.max(five);
        }
    }

    fn fold_entry(&mut self, signal: &Signal, minute: u32, hour: u32) {
        self.entries.add(minute, signal.weight);
        self.entries_by_hour.add(hour, signal.weight);
        if signal.is_failure {
            self.failures_by_hour.add(hour, signal.weight);
        }
        let count = self.entries.sum(minute, 60);
        if let Some(day) = self.baseline.today().filter(|day| day.number == hour / 24) {
            day.peak_entries = day.peak_entries.max(count);
            if is_night(hour % 24) {
                day.night_entries = day.night_entries.saturating_add(signal.weight);
            }
        }
    }

    fn fold_grant(&mut self, signal: &Signal, is_newcomer: bool, day: u32) {
        self.principals.note(fingerprint(&signal.principal_id));
        if is_newcomer && let Some(today) = self.baseline.today() {
            today.newcomers = today.newcomers.saturating_add(1);
            let number = today.newcomers;
            self.fresh.newcomers.push((signal.principal_id.clone(), number));
        }
        self.fold_scopes(signal, day);
        if signal.depth > self.fresh.depth.as_ref().map_or(0, |(_, depth)| *depth) {
            self.fresh.depth = Some((signal.principal_id.clone(), signal.depth));
        }
    }

    fn fold_scopes(&mut self, signal: &Signal, day: u32) {
        let before = self.scopes.reach();
        let is_warm = self.baseline.is_warm();
        let mut unknown: Vec<String> = Vec::new();
        let mut reach = Reach::Read;
        for scope in &signal.scopes {
            let (print, this) = (fingerprint(scope), Reach::of(scope));
            if !self.scopes.knows(print) && !self.scopes.has_forgotten {
                reach = reach.max(this);
                unknown.push(scope.clone());
            }
            self.scopes.learn(print, this, day);
        }
        if unknown.is_empty() || !is_warm {
            return;
        }
        if self.steps.len() == STEPS {
            self.steps.remove(0);
        }
        self.steps.push(minute_of(signal.at));
        unknown.truncate(FRESH);
        self.fresh.scopes.push(NewScopes {
            principal_id: signal.principal_id.clone(),
            scopes: unknown,
            reach,
            before,
        });
    }

    fn fold_verification(&mut self, signal: &Signal, minute: u32) {
        let Some(network) = signal.network.filter(|_| !signal.token_id.is_empty()) else {
            return;
        };
        let token = fingerprint(&signal.token_id);
        let places = self.tokens.note(token, network, minute, REPLAY_MINUTES);
        if places.networks.len() > 1 {
            self.fresh.replays.retain(|replay| replay.token_id != signal.token_id);
            let replay = Replay {
                principal_id: signal.principal_id.clone(),
                token_id: signal.token_id.clone(),
                places,
            };
            if self.fresh.replays.len() < FRESH {
                self.fresh.replays.push(replay);
            }
        }
    }

    fn note_session(&mut self, signal: &Signal, minute: u32) {
        if signal.grant_id.is_empty() {
            return;
        }
        let (principal, grant) = (
            short_fingerprint(&signal.principal_id),
            short_fingerprint(&signal.grant_id),
        );
        let count = self.sessions.note(principal, grant, minute, SESSION_MINUTES);
        if count > self.fresh.sessions.as_ref().map_or(0, |(_, most)| *most) {
            self.fresh.sessions = Some((signal.principal_id.clone(), count));
        }
    }

    /// Counts references to agents that nobody registered.
    pub fn fold_unknown(&mut self, signal: &Signal) {
        self.unknown.add(minute_of(signal.at), signal.weight);
    }

    /// How many steps to wider scopes the last [`STEP_DAYS`] days saw.
    pub fn recent_steps(&self, now: Timestamp) -> u32 {
        let minute = minute_of(now);
        let recent = |step: &&u32| (**step).saturating_add(STEP_DAYS * 24 * 60) > minute;
        self.steps.iter().filter(recent).count() as u32
    }

    /// Whether a finding is beyond what was acknowledged, and not raised in its window already. What has become critical is raised again;
    /// the store keeps it from being raised twice.
    pub fn admits(&self, finding: &Finding, now: Timestamp) -> bool {
        let index = finding.kind.index();
        let accepted = self.accepted.get(index).copied().unwrap_or_default();
        let is_accepted = finding.level > 0
            && finding.level <= accepted.level
            && hour_of(now) / 24 < accepted.day.saturating_add(ACCEPTED_DAYS);
        let raised = self.raised.get(index).copied().unwrap_or(0);
        let is_raised = finding.principal_id.is_none()
            && finding.severity < Severity::Critical
            && raised == finding.window_start.as_millis();
        !is_accepted && !is_raised
    }

    /// Notes that a finding was raised; `is_grave`: today is no example of what is usual.
    pub fn note_raised(&mut self, finding: &Finding, is_grave: bool) {
        if let Some(raised) = self.raised.get_mut(finding.kind.index()) {
            *raised = finding.window_start.as_millis();
        }
        if is_grave && let Some(today) = self.baseline.today() {
            today.is_suspect = true;
        }
    }

    /// Learns from an acknowledgement: for 30 days only more than `level` is a finding again.
    pub fn accept(&mut self, kind: AnomalyKind, level: u32, now: Timestamp) {
        if let Some(accepted) = self.accepted.get_mut(kind.index()) {
            *accepted = Accepted {
                level,
                day: hour_of(now) / 24,
            };
        }
    }

    /// Ends a pass: what was fresh is known from now on.
    pub fn settle(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        if let Some((_, depth)) = fresh.depth {
            self.baseline.deepest = self.baseline.deepest.max(depth);
        }
        if let (Some((_, count)), Some(today)) = (fresh.sessions, self.baseline.today()) {
            today.peak_sessions = today.peak_sessions.max(count);
        }
    }

    /// How long an activity is worth keeping after its last signal.
    pub const fn kept_for() -> Lifetime {
        Lifetime::days(60)
    }

    /// The stored form: about 200 bytes for a quiet agent, at most some 5 kB for the busiest.
    pub fn to_stored(&self) -> String {
        let mut out = Writer::default();
        out.number(FORM);
        self.signals.write(&mut out);
        self.entries.write(&mut out);
        self.entries_by_hour.write(&mut out);
        self.failures_by_hour.write(&mut out);
        self.revocations.write(&mut out);
        self.reuse.write(&mut out);
        self.unknown.write(&mut out);
        self.baseline.write(&mut out);
        self.scopes.write(&mut out);
        out.number(self.steps.len() as u64);
        for step in &self.steps {
            out.number(u64::from(*step));
        }
        self.principals.write(&mut out);
        self.sessions.write(&mut out);
        self.tokens.write(&mut out);
        self.custom.write(&mut out);
        out.number(KINDS as u64);
        for (raised, accepted) in self.raised.iter().zip(&self.accepted) {
            out.number(u64::try_from(*raised).unwrap_or(0));
            out.number(u64::from(accepted.level));
            out.number(u64::from(accepted.day));
        }
        out.finish()
    }

    /// Reads the stored form.
    pub fn from_stored(text: &str) -> Result<Self, Malformed> {
        let bytes = bytes_of(text)?;
        let mut from = Reader::new(&bytes);
        if from.number()? != FORM {
            return Err(Malformed);
        }
        let mut activity = Self {
            signals: Ring::read(&mut from)?,
            entries: Ring::read(&mut from)?,
            entries_by_hour: Ring::read(&mut from)?,
            failures_by_hour: Ring::read(&mut from)?,
            revocations: Ring::read(&mut from)?,
            reuse: Ring::read(&mut from)?,
            unknown: Ring::read(&mut from)?,
            baseline: Baseline::read(&mut from)?,
            scopes: KnownScopes::read(&mut from)?,
            ..Self::default()
        };
        for _ in 0..from.length(STEPS)? {
            activity.steps.push(from.narrow()?);
        }
        activity.principals = RecentPrincipals::read(&mut from)?;
        activity.sessions = Sessions::read(&mut from)?;
        activity.tokens = SeenTokens::read(&mut from)?;
        activity.custom = CustomCounts::read(&mut from)?;
        // Kinds are only ever added at the end, so that fewer are those that there were.
        let kinds = from.length(KINDS)?;
        for (raised, accepted) in activity.raised.iter_mut().zip(&mut activity.accepted).take(kinds) {
            *raised = i64::try_from(from.number()?).map_err(|_| Malformed)?;
            *accepted = Accepted {
                level: from.narrow()?,
                day: from.narrow()?,
            };
        }
        from.end()?;
        Ok(activity)
    }
}
