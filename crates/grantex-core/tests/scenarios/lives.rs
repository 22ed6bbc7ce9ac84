//! Ordinary lives, from a small generator that repeats.

use grantex_core::anomaly::AnomalyKind;
use grantex_core::anomaly::activity::{Activity, DEVELOPER};
use grantex_core::anomaly::book::RuleBook;
use grantex_core::anomaly::signal::{Signal, SignalKind, Subject};
use grantex_core::anomaly::watcher::{Standing, Watcher};
use grantex_core::clock::{Lifetime, Timestamp};
use grantex_core::id::AgentId;

/// Monday, 2026-03-02, midnight UTC.
pub const START: Timestamp = Timestamp::from_millis(1_772_409_600_000);

/// SplitMix64.
pub struct Chance(u64);

impl Chance {
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1))
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `most`, inclusive.
    pub const fn up_to(&mut self, most: u64) -> u64 {
        self.next() % (most + 1)
    }

    pub const fn is_one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }
}

/// A signal with how it is to be taken.
pub type Act = (Signal, Standing);

pub fn at(day: u32, hour: u32, minute: u64) -> Timestamp {
    let minutes = i64::from(day) * 1_440 + i64::from(hour) * 60 + i64::try_from(minute).unwrap();
    START.plus(Lifetime::minutes(minutes))
}

pub fn signal(kind: SignalKind, at: Timestamp) -> Signal {
    let agent = AgentId::parse("ag_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
    let mut signal = Signal::new(kind, Subject::Agent(agent), at);
    signal.principal_id = "owner".to_owned();
    signal
}

pub fn known(signal: Signal) -> Act {
    (signal, Standing::Known)
}

/// A grant and the exchange that it came from.
pub fn grant(at: Timestamp, principal: &str, scopes: &[&str], standing: Standing) -> Vec<Act> {
    let number = at.as_millis();
    let mut made = signal(SignalKind::Grant, at);
    made.principal_id = principal.to_owned();
    made.grant_id = format!("grnt_{number}_{principal}");
    made.scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
    let mut exchanged = signal(SignalKind::Exchange, at);
    exchanged.principal_id.clone_from(&made.principal_id);
    exchanged.grant_id.clone_from(&made.grant_id);
    vec![(made, standing), known(exchanged)]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Works for one person by day, little at the weekend.
    Office,
    /// Serves calls around the clock, with a daily wave.
    Service,
    /// Meets new people every day.
    Consumer,
    /// Runs every night at two, writes much, and rests.
    Batch,
}

/// The acts of an ordinary agent, in the order of time.
pub fn ordinary(seed: u64, profile: Profile, days: u32) -> Vec<Act> {
    let mut chance = Chance::new(seed);
    let mut acts: Vec<Act> = Vec::new();
    let scopes: &[&str] = if seed.is_multiple_of(3) {
        &["mail:read", "calendar:read"]
    } else {
        &["files:read", "files:write"]
    };
    // One agent in ten now and then asks for something more.
    let has_rare_scope = chance.is_one_in(10);
    acts.extend(grant(at(0, 2, 0), "owner", scopes, Standing::FirstOfPrincipal));
    for day in 0..days {
        let is_weekend = day % 7 >= 5;
        match profile {
            Profile::Office => office(&mut chance, &mut acts, day, is_weekend),
            Profile::Service => service(&mut chance, &mut acts, day),
            Profile::Consumer => consumer(&mut chance, &mut acts, day, scopes),
            Profile::Batch => batch(&mut chance, &mut acts, day),
        }
        let more = ["contacts:read"];
        let asked = if has_rare_scope && chance.is_one_in(7) {
            [scopes, &more].concat()
        } else {
            scopes.to_vec()
        };
        acts.extend(grant(at(day, 9, chance.up_to(59)), "owner", &asked, Standing::Known));
    }
    acts.sort_by_key(|(signal, _)| signal.at);
    acts
}

fn office(chance: &mut Chance, acts: &mut Vec<Act>, day: u32, is_weekend: bool) {
    let most = if is_weekend { 2 } else { 6 };
    for hour in 8..18 {
        for _ in 0..chance.up_to(most) {
            let minute = chance_minute(chance);
            acts.push(entry(chance, at(day, hour, minute)));
        }
        for _ in 0..chance.up_to(most) {
            acts.push(known(signal(SignalKind::Verification, at(day, hour, chance.up_to(59)))));
        }
        acts.push(known(signal(SignalKind::Refresh, at(day, hour, chance.up_to(59)))));
    }
}

fn service(chance: &mut Chance, acts: &mut Vec<Act>, day: u32) {
    for hour in 0..24 {
        let wave = if (9..21).contains(&hour) { 20 } else { 6 };
        for _ in 0..wave / 2 + chance.up_to(wave) {
            acts.push(known(signal(SignalKind::Verification, at(day, hour, chance.up_to(59)))));
        }
    }
}

fn consumer(chance: &mut Chance, acts: &mut Vec<Act>, day: u32, scopes: &[&str]) {
    for number in 0..2 + chance.up_to(4) {
        let principal = format!("user-{day}-{number}");
        let when = at(day, 7 + u32::try_from(chance.up_to(14)).unwrap(), chance.up_to(59));
        acts.extend(grant(when, &principal, scopes, Standing::FirstOfPrincipal));
        for _ in 0..chance.up_to(10) {
            let mut used = signal(SignalKind::Verification, when.plus(Lifetime::minutes(1)));
            used.principal_id.clone_from(&principal);
            acts.push(known(used));
        }
    }
}

fn batch(chance: &mut Chance, acts: &mut Vec<Act>, day: u32) {
    for _ in 0..150 + chance.up_to(50) {
        let minute = chance.up_to(9);
        acts.push(entry(chance, at(day, 2, minute)));
    }
}

fn entry(chance: &mut Chance, at: Timestamp) -> Act {
    let mut entry = signal(SignalKind::AuditEntry, at);
    entry.is_failure = chance.is_one_in(50);
    known(entry)
}

const fn chance_minute(chance: &mut Chance) -> u64 {
    chance.up_to(59)
}

/// The kinds of what is found from a time on.
pub fn live(acts: &[Act], from: Timestamp) -> Vec<AnomalyKind> {
    let found = play(acts);
    found
        .into_iter()
        .filter(|(at, _)| *at >= from)
        .map(|(_, kind)| kind)
        .collect()
}

/// The kinds of all that is found.
pub fn live_all(acts: &[Act]) -> Vec<AnomalyKind> {
    play(acts).into_iter().map(|(_, kind)| kind).collect()
}

fn play(acts: &[Act]) -> Vec<(Timestamp, AnomalyKind)> {
    let book = RuleBook::default();
    let mut agent = Watcher::new(Activity::default(), "agent".to_owned());
    let mut developer = Watcher::new(Activity::default(), DEVELOPER.to_owned());
    let mut found = Vec::new();
    for (signal, standing) in acts {
        let watcher = if *standing == Standing::Stranger {
            &mut developer
        } else {
            &mut agent
        };
        found.extend(watcher.take(signal, *standing, &book));
    }
    let (activity, last) = agent.finish(&book);
    found.extend(last);
    found.extend(developer.finish(&book).1);
    let stored = activity.to_stored();
    assert_eq!(
        Activity::from_stored(&stored).as_ref(),
        Ok(&activity),
        "it is stored as it is"
    );
    assert!(stored.len() < 6_000, "{} bytes", stored.len());
    found.into_iter().map(|one| (one.at, one.finding.kind)).collect()
}
