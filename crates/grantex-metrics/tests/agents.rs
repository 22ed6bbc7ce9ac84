//! Series of single agents: bounded whatever comes, and true for those that have them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use grantex_core::clock::{Lifetime, Timestamp};
use grantex_core::event::{
    AgentChange, AuthorizeStatus, DeliveryFailure, Event, ExchangeStatus, Observer as _, TokenIssue,
};
use grantex_core::id::{AgentId, GrantId, TokenId, WebhookId, new_id};
use grantex_core::scope::Scopes;
use grantex_core::testing::{ManualClock, SeededRandom};
use grantex_metrics::label::Severity;
use grantex_metrics::{MOST_AGENTS, Metrics, Snapshot};
use support::{ROUTES, agent_changes, by_name, samples};

/// What one agent, or all others together, have at most.
const SERIES_OF_ONE: usize = 35;
const TOOK: Duration = Duration::from_millis(3);

struct World {
    metrics: Metrics,
    clock: ManualClock,
    random: SeededRandom,
}

impl World {
    fn with(agents: u32) -> Self {
        let clock = ManualClock::default();
        Self {
            metrics: Metrics::with_agents("1.2.3", ROUTES, agents, Arc::new(clock.clone())).unwrap(),
            clock,
            random: SeededRandom::new(1),
        }
    }

    fn agent(&self) -> AgentId {
        new_id(&self.random, Timestamp::from_millis(0))
    }

    fn agents(&self, count: usize) -> Vec<AgentId> {
        (0..count).map(|_| self.agent()).collect()
    }

    fn exchange(&self, agent: &AgentId, times: usize) {
        let event = Event::TokenExchanged(issue(agent));
        for _ in 0..times {
            self.metrics.observe(&event, TOOK);
        }
    }

    fn exchanges(&self, agent: &str) -> Option<f64> {
        let series = format!(r#"grantex_agent_token_exchange_total{{agent_id="{agent}",status="success"}}"#);
        samples(&self.metrics.render()).get(&series).copied()
    }

    /// The agents that an exposition names.
    fn shown(&self) -> BTreeSet<String> {
        let text = self.metrics.render();
        let ids = text
            .lines()
            .filter_map(|line| line.split_once("agent_id=\"")?.1.split_once('"'));
        ids.map(|(id, _)| id.to_owned()).filter(|id| id != "other").collect()
    }

    fn evictions(&self, reason: &str) -> f64 {
        let series = format!(r#"grantex_agent_series_evictions_total{{reason="{reason}"}}"#);
        samples(&self.metrics.render())[&series]
    }

    fn series(&self) -> usize {
        let samples = samples(&self.metrics.render());
        samples.keys().filter(|series| series.contains("agent_id=")).count()
    }
}

fn issue(agent: &AgentId) -> TokenIssue {
    let ulid = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    TokenIssue {
        token_id: TokenId::parse(&format!("tok_{ulid}")).unwrap(),
        grant_id: GrantId::parse(&format!("grnt_{ulid}")).unwrap(),
        agent_id: agent.clone(),
        principal_id: "user-1".into(),
        scopes: Scopes::from_stored("read"),
        expires_at: Timestamp::from_millis(0),
    }
}

fn failure(agent: &AgentId) -> DeliveryFailure {
    DeliveryFailure {
        webhook_id: WebhookId::parse("wh_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap(),
        url: "https://app.example/hooks".into(),
        status_code: Some(503),
        attempt: 1,
        error: "the receiver answered 503".into(),
        agent_id: Some(agent.clone()),
    }
}

/// Everything that is counted of an agent, once each.
fn everything(agent: &AgentId) -> Vec<Event> {
    vec![
        Event::TokenExchanged(issue(agent)),
        Event::TokenExchangeRejected {
            status: ExchangeStatus::Pkce,
            agent_id: Some(agent.clone()),
        },
        Event::AuthRequestOpened {
            agent_id: agent.clone(),
            principal_id: "user-1".into(),
            scopes: Scopes::default(),
        },
        Event::AuthorizeRejected {
            status: AuthorizeStatus::PlanLimit,
            agent_id: Some(agent.clone()),
        },
        Event::WebhookDelivered {
            webhook_id: WebhookId::parse("wh_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap(),
            status_code: 204,
            attempt: 1,
            since_event: TOOK,
            agent_id: Some(agent.clone()),
        },
        Event::WebhookDeliveryRetried(failure(agent)),
        Event::WebhookDeliveryFailed(failure(agent)),
    ]
}

#[test]
fn every_family_counts_what_an_agent_does() {
    let world = World::with(2);
    let agent = world.agent();
    let changed = agent_changes(&world.metrics, |metrics| {
        for event in everything(&agent) {
            metrics.observe(&event, TOOK);
        }
        metrics.agent_anomaly(Some(&agent), Severity::High);
        metrics.set_agent_grants(&[(agent.clone(), 7)], 9);
    });
    let series = |name: &str, labels: &str| format!("grantex_agent_{name}{{agent_id=\"{agent}\"{labels}}}");
    let expected = [
        (series("token_exchange_total", r#",status="success""#), 1.0),
        (series("token_exchange_total", r#",status="pkce""#), 1.0),
        (series("authorize_duration_seconds_count", ""), 2.0),
        (series("webhook_deliveries_total", r#",status="delivered""#), 1.0),
        (series("webhook_deliveries_total", r#",status="retried""#), 1.0),
        (series("webhook_deliveries_total", r#",status="failed""#), 1.0),
        (series("anomalies_total", r#",severity="high""#), 1.0),
        (series("active_grants", ""), 7.0),
        (r#"grantex_agent_active_grants{agent_id="other"}"#.to_owned(), 2.0),
    ];
    assert_eq!(changed, expected.into_iter().collect());
    let samples = samples(&world.metrics.render());
    let bucket = |le: &str| samples[&series("authorize_duration_seconds_bucket", &format!(",le=\"{le}\""))];
    assert_eq!((bucket("0.0025"), bucket("0.005"), bucket("+Inf")), (0.0, 2.0, 2.0));
    assert!((samples[&series("authorize_duration_seconds_sum", "")] - 0.006).abs() < 1e-9);
    assert_eq!(
        world.series(),
        2 * SERIES_OF_ONE,
        "the other series of an agent are there from its first event on"
    );
}

#[test]
fn what_no_agent_can_be_blamed_for_is_counted_under_other() {
    let world = World::with(2);
    let changed = agent_changes(&world.metrics, |metrics| {
        let (exchange, authorize) = (ExchangeStatus::InvalidCode, AuthorizeStatus::AgentNotFound);
        metrics.observe(
            &Event::TokenExchangeRejected {
                status: exchange,
                agent_id: None,
            },
            TOOK,
        );
        metrics.observe(
            &Event::AuthorizeRejected {
                status: authorize,
                agent_id: None,
            },
            TOOK,
        );
        metrics.agent_anomaly(None, Severity::Low);
    });
    let expected = by_name(&[
        (
            r#"grantex_agent_token_exchange_total{agent_id="other",status="invalid_code"}"#,
            1.0,
        ),
        (
            r#"grantex_agent_authorize_duration_seconds_count{agent_id="other"}"#,
            1.0,
        ),
        (r#"grantex_agent_anomalies_total{agent_id="other",severity="low"}"#, 1.0),
    ]);
    assert_eq!(changed, expected);
    assert_eq!(world.shown(), BTreeSet::new());
}

#[test]
fn a_million_agents_leave_the_series_flat() {
    let world = World::with(50);
    let (mut sizes, mut lengths) = (BTreeSet::new(), Vec::new());
    for round in 0..10 {
        for _ in 0..100_000 {
            world.exchange(&world.agent(), 1);
        }
        world.clock.advance(Lifetime::seconds(5));
        world.metrics.run_upkeep();
        sizes.insert(world.series());
        lengths.push((round, world.metrics.render().len()));
    }
    // The agents have no gauge of grants before somebody counts.
    assert_eq!(sizes, BTreeSet::from([51 * SERIES_OF_ONE - 50]));
    let (shortest, longest) = (
        lengths.iter().min_by_key(|l| l.1).unwrap(),
        lengths.iter().max_by_key(|l| l.1).unwrap(),
    );
    assert!(longest.1 - shortest.1 < 4_096, "digits only: {lengths:?}");
    assert_eq!(
        world.evictions("displaced"),
        0.0,
        "a crowd of strangers takes nobody's place"
    );
    let counted: f64 = samples(&world.metrics.render())
        .iter()
        .filter(|(series, _)| series.starts_with("grantex_agent_token_exchange_total{"))
        .map(|(_, value)| value)
        .sum();
    assert_eq!(counted, 1_000_000.0, "each exchange is counted once, under some agent");
}

#[test]
fn the_busy_are_found_in_a_crowd() {
    let world = World::with(20);
    let busy = world.agents(10);
    for _ in 0..2_000 {
        for agent in &busy {
            world.exchange(agent, 1);
        }
        for _ in 0..20 {
            world.exchange(&world.agent(), 1);
        }
    }
    let shown = world.shown();
    let missing: Vec<&AgentId> = busy.iter().filter(|agent| !shown.contains(agent.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(shown.len(), 20);
}

#[test]
fn late_comers_displace_the_least_busy_only() {
    let world = World::with(3);
    let (first, late) = (world.agents(3), world.agent());
    for (agent, times) in first.iter().zip([100, 10, 50]) {
        world.exchange(agent, times);
    }
    world.exchange(&late, 20);
    assert_eq!(world.exchanges(late.as_str()), None, "not more than twice as busy");
    world.exchange(&late, 1);
    // What it had before is with the others.
    assert_eq!(world.exchanges(late.as_str()), Some(1.0));
    assert_eq!(world.exchanges("other"), Some(20.0));
    assert_eq!(world.exchanges(first[1].as_str()), None);
    assert_eq!(
        (world.exchanges(first[0].as_str()), world.exchanges(first[2].as_str())),
        (Some(100.0), Some(50.0))
    );
    assert_eq!(world.evictions("displaced"), 1.0);
}

#[test]
fn two_of_the_same_business_do_not_take_turns() {
    let world = World::with(1);
    let (one, other) = (world.agent(), world.agent());
    for _ in 0..10_000 {
        world.exchange(&one, 1);
        world.exchange(&other, 1);
    }
    assert_eq!(world.exchanges(one.as_str()), Some(10_000.0));
    assert_eq!(world.evictions("displaced"), 0.0);
}

#[test]
fn yesterdays_busiest_gives_way_to_todays() {
    let world = World::with(1);
    let (yesterday, today) = (world.agent(), world.agent());
    world.exchange(&yesterday, 1_000);
    world.clock.advance(Lifetime::minutes(50));
    world.metrics.run_upkeep();
    // Five half-lives: it stands at 31.
    world.exchange(&today, 63);
    assert_eq!(world.exchanges(today.as_str()), Some(1.0));
}

#[test]
fn idle_agents_lose_their_series_and_come_back_at_zero() {
    let world = World::with(5);
    let (idle, awake) = (world.agent(), world.agent());
    world.exchange(&idle, 9);
    world.clock.advance(Lifetime::minutes(59));
    world.exchange(&awake, 1);
    world.metrics.run_upkeep();
    assert_eq!(world.exchanges(idle.as_str()), Some(9.0));
    world.clock.advance(Lifetime::minutes(1));
    world.metrics.run_upkeep();
    assert_eq!(world.shown(), BTreeSet::from([awake.to_string()]));
    assert_eq!(world.evictions("idle"), 1.0);
    world.exchange(&idle, 1);
    assert_eq!(world.exchanges(idle.as_str()), Some(1.0));
}

#[test]
fn a_deleted_agent_is_gone_at_once() {
    let world = World::with(5);
    let agent = world.agent();
    world.exchange(&agent, 9);
    let deleted = Event::AgentChanged {
        agent_id: agent.clone(),
        change: AgentChange::Deleted,
    };
    world.metrics.observe(&deleted, TOOK);
    world.metrics.observe(&deleted, TOOK);
    assert_eq!((world.shown(), world.evictions("deleted")), (BTreeSet::new(), 1.0));
}

#[test]
fn a_series_that_lives_never_falls() {
    let world = World::with(4);
    let known = world.agents(30);
    let mut before: BTreeMap<String, f64> = BTreeMap::new();
    let mut evicted = 0.0;
    for round in 0_usize..400 {
        for (place, agent) in known.iter().enumerate() {
            world.exchange(agent, (place * 7 + round * round) % 13);
        }
        world.clock.advance(Lifetime::seconds(40));
        world.metrics.run_upkeep();
        let now: BTreeMap<String, f64> = samples(&world.metrics.render());
        let evictions = world.evictions("displaced") + world.evictions("idle");
        for (series, value) in now.iter().filter(|(series, _)| series.contains("_total{agent_id=")) {
            let fell = before.get(series).is_some_and(|before| before > value);
            assert!(!fell || evictions > evicted, "{series} fell, and nobody was evicted");
            assert!(!fell || !series.contains("other"), "{series} fell");
        }
        assert!(world.shown().len() <= 4);
        (before, evicted) = (now, evictions);
    }
}

#[test]
fn there_is_a_cap_whatever_is_asked_for() {
    let world = World::with(u32::MAX);
    for agent in world.agents(3_000) {
        world.exchange(&agent, 1);
    }
    assert_eq!(world.shown().len(), usize::try_from(MOST_AGENTS).unwrap());
    let samples = samples(&world.metrics.render());
    assert_eq!(samples["grantex_agent_series"], f64::from(MOST_AGENTS));
}

#[test]
fn none_at_all_are_wanted() {
    let world = World::with(0);
    let agent = world.agent();
    for event in everything(&agent) {
        world.metrics.observe(&event, TOOK);
    }
    world.metrics.agent_anomaly(Some(&agent), Severity::High);
    world.metrics.set_agent_grants(&[(agent, 7)], 9);
    world.metrics.run_upkeep();
    assert_eq!(world.series(), 0);
    assert!(!world.metrics.render().contains("grantex_agent_token_exchange_total"));
    assert_eq!(world.metrics.busiest_agents(), []);
}

#[test]
fn gauges_tell_the_age_of_what_they_tell() {
    let world = World::with(1);
    world.clock.advance(Lifetime::seconds(7));
    world.metrics.snapshot_taken(Snapshot::ActiveGrants);
    world.clock.advance(Lifetime::millis(1_500));
    let samples = samples(&world.metrics.render());
    let age = |snapshot: &str| samples[&format!("grantex_snapshot_age_seconds{{snapshot=\"{snapshot}\"}}")];
    assert_eq!((age("active_grants"), age("webhooks")), (1.5, 8.5));
}

/// Nothing is lost or held up between those who count and those who scrape.
#[test]
fn counting_goes_on_while_somebody_scrapes() {
    let world = World::with(300);
    let agents = world.agents(300);
    for agent in &agents {
        world.exchange(agent, 1);
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let scraping = scope.spawn(|| {
            let mut scrapes = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) || scrapes == 0 {
                assert!(world.metrics.render().ends_with('\n'));
                scrapes += 1;
            }
            scrapes
        });
        for agent in &agents {
            world.exchange(agent, 99);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(scraping.join().unwrap() > 0);
    });
    assert!(
        agents
            .iter()
            .all(|agent| world.exchanges(agent.as_str()) == Some(100.0))
    );
}

#[test]
fn ten_thousand_series_are_quickly_told() {
    let world = World::with(300);
    for agent in world.agents(300) {
        for event in everything(&agent) {
            world.metrics.observe(&event, TOOK);
        }
    }
    let text = world.metrics.render();
    assert!(samples(&text).len() > 10_000);
    // The fastest of many says what it costs, on however busy a machine. Without optimisation it costs several times more.
    let bound = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 20 });
    let fastest = (0..30).map(|_| timed(|| drop(world.metrics.render()))).min().unwrap();
    assert!(fastest < bound, "{fastest:?}");
}

#[expect(clippy::disallowed_methods, reason = "the time that it takes is what is measured")]
fn timed(work: impl FnOnce()) -> Duration {
    let began = std::time::Instant::now();
    work();
    began.elapsed()
}

/// With Debian's promtool, where it is installed.
#[test]
fn promtool_finds_no_fault() {
    let world = World::with(20);
    for agent in world.agents(50) {
        for event in everything(&agent) {
            world.metrics.observe(&event, TOOK);
        }
    }
    world.metrics.set_agent_grants(&[], 3);
    let command = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = command else { return };
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(world.metrics.render().as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(
        (output.status.code(), String::from_utf8(said).unwrap()),
        (Some(0), String::new())
    );
}
