//! Stories with an end: each says what must be found from its turning point on, and what else may be.

use grantex_core::anomaly::AnomalyKind;
use grantex_core::anomaly::signal::{Network, SignalKind, Subject};
use grantex_core::anomaly::watcher::Standing;
use grantex_core::clock::{Lifetime, Timestamp};

use crate::lives::{Act, Chance, Profile, at, grant, known, ordinary, signal};

/// A story.
pub struct Story {
    /// All that happens, in the order of time.
    pub signals: Vec<Act>,
    /// From when on findings count.
    pub from: Timestamp,
    /// What must be found.
    pub must: &'static [AnomalyKind],
    /// What may be found as well.
    pub may: &'static [AnomalyKind],
}

/// Every plot.
pub const PLOTS: &[fn(u64) -> Story] = &[
    an_honest_office,
    an_honest_service,
    an_honest_batch_job,
    a_slow_escalation,
    a_sudden_admin,
    a_burst_at_night,
    a_stolen_refresh_token,
    a_replay_from_two_networks,
    a_phone_behind_one_exit,
    a_farm_of_sessions,
    a_chain_of_delegations,
    a_mass_revocation,
    a_deleted_agent,
    a_broken_agent,
    a_guesser_of_agents,
    a_new_acquaintance,
];

/// Ten quiet days, and a turning point at three in the afternoon of the eleventh.
fn story(seed: u64, profile: Profile) -> (Vec<Act>, Timestamp, Chance) {
    (ordinary(seed, profile, 11), at(10, 15, 0), Chance::new(seed ^ 0xABCD))
}

fn end(mut signals: Vec<Act>, from: Timestamp, must: &'static [AnomalyKind], may: &'static [AnomalyKind]) -> Story {
    signals.sort_by_key(|(signal, _)| signal.at);
    Story {
        signals,
        from,
        must,
        may,
    }
}

/// One agent in ten asks for a new scope late; which is what the rule is for, so it is no false alarm.
const RARE: &[AnomalyKind] = &[AnomalyKind::UnusualScopeAccess];

fn an_honest_office(seed: u64) -> Story {
    let (signals, _, _) = story(seed, Profile::Office);
    end(signals, at(5, 0, 0), &[], RARE)
}

fn an_honest_service(seed: u64) -> Story {
    let (signals, _, _) = story(seed, Profile::Service);
    end(signals, at(5, 0, 0), &[], RARE)
}

/// It writes 150 to 200 entries in ten minutes, every night: more than every fixed threshold, and nothing unusual once that is known.
fn an_honest_batch_job(seed: u64) -> Story {
    let (signals, _, _) = story(seed, Profile::Batch);
    end(signals, at(5, 0, 0), &[], RARE)
}

fn a_slow_escalation(seed: u64) -> Story {
    let (mut signals, from, mut chance) = story(seed, Profile::Office);
    let base: &[&str] = if seed.is_multiple_of(3) {
        &["mail:read", "calendar:read"]
    } else {
        &["files:read", "files:write"]
    };
    for (step, scope) in ["notes:read", "photos:read", "location:read", "health:read"]
        .iter()
        .enumerate()
    {
        let when = at(10 + u32::try_from(step).unwrap() * 2, 15, chance.up_to(59));
        signals.extend(grant(when, "owner", &[base, &[scope]].concat(), Standing::Known));
    }
    end(
        signals,
        from,
        &[AnomalyKind::ScopeEscalation, AnomalyKind::UnusualScopeAccess],
        &[],
    )
}

fn a_sudden_admin(seed: u64) -> Story {
    let (mut signals, from, mut chance) = story(seed, Profile::Service);
    signals.extend(grant(
        at(10, 15, chance.up_to(59)),
        "owner",
        &["tenant:admin"],
        Standing::Known,
    ));
    end(
        signals,
        from,
        &[AnomalyKind::ScopeEscalation, AnomalyKind::UnusualScopeAccess],
        &[],
    )
}

fn a_burst_at_night(seed: u64) -> Story {
    let (mut signals, from, mut chance) = story(seed, Profile::Office);
    for _ in 0..120 + chance.up_to(300) {
        signals.push(known(signal(SignalKind::AuditEntry, at(10, 23, 10 + chance.up_to(3)))));
    }
    let must = &[
        AnomalyKind::VelocitySpike,
        AnomalyKind::RateSpike,
        AnomalyKind::OffHoursActivity,
    ];
    end(signals, from, must, &[])
}

fn a_stolen_refresh_token(seed: u64) -> Story {
    let (mut signals, from, mut chance) = story(seed, Profile::Office);
    let mut stolen = signal(SignalKind::RefreshReuse, at(10, 15, chance.up_to(59)));
    stolen.is_failure = true;
    signals.push(known(stolen));
    end(signals, from, &[AnomalyKind::RefreshReuse], &[])
}

fn used(token: &str, address: [u8; 4], when: Timestamp) -> Act {
    let mut used = signal(SignalKind::Verification, when);
    token.clone_into(&mut used.token_id);
    used.network = Some(Network::of(address.into()));
    known(used)
}

fn a_replay_from_two_networks(seed: u64) -> Story {
    let (mut signals, from, mut chance) = story(seed, Profile::Service);
    let start = chance.up_to(40);
    for step in 0..6 {
        let network = if step % 2 == 0 {
            [198, 51, 100, 7]
        } else {
            [203, 0, 113, 9]
        };
        signals.push(used("tok_stolen", network, at(10, 15, start + step)));
    }
    end(signals, from, &[AnomalyKind::TokenReplay], &[])
}

/// Many addresses of one network, and a new token whenever the network changes.
fn a_phone_behind_one_exit(seed: u64) -> Story {
    let (mut signals, from, mut chance) = story(seed, Profile::Office);
    for step in 0..50_u64 {
        let token = if step < 25 { "tok_home" } else { "tok_office" };
        let third = if step < 25 { 100 } else { 101 };
        let last = u8::try_from(chance.up_to(255)).unwrap();
        signals.push(used(token, [198, 51, third, last], at(10, 15, step)));
    }
    end(signals, from, &[], RARE)
}

fn a_farm_of_sessions(seed: u64) -> Story {
    let (mut signals, from, mut chance) = story(seed, Profile::Office);
    for number in 0..12 + chance.up_to(20) {
        let mut opened = signal(SignalKind::Exchange, at(10, 15, number * 2 % 60));
        opened.grant_id = format!("grnt_farm_{number}");
        signals.push(known(opened));
    }
    end(signals, from, &[AnomalyKind::ConcurrentSessions], &[])
}

fn a_chain_of_delegations(seed: u64) -> Story {
    let (mut signals, from, mut chance) = story(seed, Profile::Office);
    let mut deep = signal(SignalKind::Grant, at(10, 15, chance.up_to(59)));
    deep.depth = 3 + u32::try_from(chance.up_to(3)).unwrap();
    signals.push(known(deep));
    end(signals, from, &[AnomalyKind::DelegationDepth], &[])
}

fn a_mass_revocation(seed: u64) -> Story {
    let (mut signals, from, mut chance) = story(seed, Profile::Office);
    let start = chance.up_to(40);
    for number in 0..6 + chance.up_to(20) {
        signals.push(known(signal(SignalKind::Revocation, at(10, 15, start + number % 8))));
    }
    end(signals, from, &[AnomalyKind::RapidRevocation], &[])
}

fn a_deleted_agent(seed: u64) -> Story {
    let (mut signals, from, mut chance) = story(seed, Profile::Office);
    for _ in 0..5 + chance.up_to(20) {
        let mut revoked = signal(SignalKind::Revocation, at(10, 15, 1));
        revoked.is_routine = true;
        signals.push(known(revoked));
    }
    end(signals, from, &[], RARE)
}

fn a_broken_agent(seed: u64) -> Story {
    let (mut signals, from, mut chance) = story(seed, Profile::Office);
    for hour in 15..18 {
        for _ in 0..15 {
            let mut failed = signal(SignalKind::AuditEntry, at(10, hour, chance.up_to(59)));
            failed.is_failure = true;
            signals.push(known(failed));
        }
    }
    end(signals, from, &[AnomalyKind::HighFailureRate], &[])
}

fn a_guesser_of_agents(seed: u64) -> Story {
    let (mut signals, from, mut chance) = story(seed, Profile::Office);
    for _ in 0..3 + chance.up_to(40) {
        let mut guess = signal(SignalKind::AuditEntry, at(10, 15, chance.up_to(50)));
        guess.subject = Subject::Unreadable;
        signals.push((guess, Standing::Stranger));
    }
    end(signals, from, &[AnomalyKind::UnknownAgent], &[])
}

fn a_new_acquaintance(seed: u64) -> Story {
    let (mut signals, from, mut chance) = story(seed, Profile::Office);
    let when = at(10, 15, chance.up_to(50)).plus(Lifetime::seconds(30));
    let scopes: &[&str] = if seed.is_multiple_of(3) {
        &["mail:read"]
    } else {
        &["files:read"]
    };
    signals.extend(grant(when, "stranger", scopes, Standing::FirstOfPrincipal));
    end(signals, from, &[AnomalyKind::NewPrincipal], &[])
}
