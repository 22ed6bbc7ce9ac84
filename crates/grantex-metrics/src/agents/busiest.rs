//! Which agents have series of their own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use grantex_core::id::AgentId;

use super::series::AgentSeries;
use super::sketch::Sketch;
use crate::label::EvictionReason;

/// Without an event for so long, an agent loses its series.
const IDLE: Duration = Duration::from_secs(60 * 60);
/// After so long, what was counted of an agent counts half for its standing.
const HALF_LIFE: Duration = Duration::from_secs(10 * 60);
/// How many times busier than the least busy of those with series another agent must be to take its place. Without it, two
/// agents of the same business would take turns, and each turn is a new series to whoever keeps them.
const MARGIN: u64 = 2;
/// Places of the sketch of those without series, for each series. More places find busy agents in larger crowds.
const PLACES: usize = 2;

/// The agents with series, and a sketch of the others.
pub struct Busiest {
    limit: usize,
    shown: HashMap<AgentId, Shown>,
    others: Sketch,
    /// No agent with series stands lower: standings only rise between two looks at all of them.
    lowest: u64,
    aged_at: Duration,
}

struct Shown {
    series: Arc<AgentSeries>,
    /// Events, of which older ones count for less.
    standing: u64,
    last_event: Duration,
}

impl Busiest {
    /// Nobody yet, and never more than `limit` agents.
    pub fn new(limit: usize, now: Duration) -> Self {
        Self {
            limit,
            shown: HashMap::with_capacity(limit),
            others: Sketch::new(limit.saturating_mul(PLACES)),
            lowest: 0,
            aged_at: now,
        }
    }

    /// Notes an event of an agent. Returns its series, if it has any now, and why another one lost them to it.
    pub fn hit(&mut self, agent: &AgentId, now: Duration) -> (Option<Arc<AgentSeries>>, Option<EvictionReason>) {
        if let Some(shown) = self.shown.get_mut(agent) {
            shown.standing += 1;
            shown.last_event = now;
            return (Some(Arc::clone(&shown.series)), None);
        }
        if self.shown.len() < self.limit {
            return (Some(self.show(agent, 1, now)), None);
        }
        let certain = self.others.hit(agent);
        if certain <= self.lowest.saturating_mul(MARGIN) {
            return (None, None);
        }
        let Some((least, standing)) = self.least() else {
            return (None, None);
        };
        self.lowest = standing;
        if certain <= standing.saturating_mul(MARGIN) {
            return (None, None);
        }
        self.shown.remove(&least);
        (Some(self.show(agent, certain, now)), Some(EvictionReason::Displaced))
    }

    fn show(&mut self, agent: &AgentId, standing: u64, now: Duration) -> Arc<AgentSeries> {
        self.others.remove(agent);
        self.lowest = self.lowest.min(standing);
        let series = Arc::new(AgentSeries::new());
        let shown = Shown {
            series: Arc::clone(&series),
            standing,
            last_event: now,
        };
        self.shown.insert(agent.clone(), shown);
        series
    }

    fn least(&self) -> Option<(AgentId, u64)> {
        let least = self.shown.iter().min_by_key(|(_, shown)| shown.standing);
        least.map(|(agent, shown)| (agent.clone(), shown.standing))
    }

    /// Takes an agent's series away; tells whether it had any.
    pub fn remove(&mut self, agent: &AgentId) -> bool {
        self.others.remove(agent);
        self.shown.remove(agent).is_some()
    }

    /// Takes series from agents that have been idle for long, and lets standings age. Returns how many lost theirs.
    pub fn tidy(&mut self, now: Duration) -> u64 {
        let before = self.shown.len();
        self.shown
            .retain(|_, shown| now.saturating_sub(shown.last_event) < IDLE);
        while now.saturating_sub(self.aged_at) >= HALF_LIFE {
            self.aged_at += HALF_LIFE;
            self.others.age();
            self.lowest /= 2;
            for shown in self.shown.values_mut() {
                shown.standing /= 2;
            }
        }
        u64::try_from(before - self.shown.len()).unwrap_or(u64::MAX)
    }

    /// The agents with series, in the order of their ids.
    pub fn all(&self) -> Vec<(AgentId, Arc<AgentSeries>)> {
        let shown = self.shown.iter();
        let mut all: Vec<_> = shown
            .map(|(agent, shown)| (agent.clone(), Arc::clone(&shown.series)))
            .collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// How many agents have series.
    pub fn len(&self) -> usize {
        self.shown.len()
    }
}
