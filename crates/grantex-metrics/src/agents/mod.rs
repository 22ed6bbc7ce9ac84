//! Series of single agents: those of the busiest ones, and of all others together.
//!
//! Ids of agents are unbounded, so an agent has series only while it is among the busiest ([`busiest`]); whatever else
//! happens is counted under the agent `other`. A series that ends leaves the exposition with everything it had counted, and an
//! agent that comes back begins at 0. The exporter cannot drop series, so this text is written here, beside it.

mod busiest;
mod series;
mod sketch;

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grantex_core::clock::Clock;
use grantex_core::event::{AgentChange, Event, ExchangeStatus};
use grantex_core::id::AgentId;
use metrics::Gauge;

use crate::Metrics;
use crate::catalogue::{Metric, OTHER, single_agents as catalogue};
use crate::exporter::Registry;
use crate::family::Counters;
use crate::label::{EvictionReason, Severity, WebhookStatus};
use busiest::Busiest;
use series::AgentSeries;

/// The most agents that can have series, whatever is asked for: about 32 series each.
pub const MOST_AGENTS: u32 = 1_000;

pub(crate) struct AgentMetrics {
    /// `None`: there are no series of single agents.
    shown: Option<Shown>,
    count: Gauge,
    evictions: Counters<EvictionReason>,
    clock: Arc<dyn Clock>,
}

struct Shown {
    busiest: Mutex<Busiest>,
    others: AgentSeries,
}

impl Shown {
    fn busiest(&self) -> MutexGuard<'_, Busiest> {
        self.busiest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AgentMetrics {
    pub(crate) fn of(registry: &Registry, limit: u32, clock: Arc<dyn Clock>) -> Self {
        let limit = usize::try_from(limit.min(MOST_AGENTS)).unwrap_or(0);
        Self {
            shown: (limit > 0).then(|| Shown {
                busiest: Mutex::new(Busiest::new(limit, clock.monotonic())),
                others: AgentSeries::of_others(),
            }),
            count: registry.gauge(&catalogue::SERIES, &[]),
            evictions: Counters::of(registry, &catalogue::EVICTIONS, &[]),
            clock,
        }
    }

    /// Has `count` count on the agent's series, or on those of all others.
    fn on(&self, agent: Option<&AgentId>, count: impl Fn(&AgentSeries)) {
        let Some(shown) = &self.shown else { return };
        let Some(agent) = agent else {
            return count(&shown.others);
        };
        let (own, eviction) = shown.busiest().hit(agent, self.clock.monotonic());
        if let Some(reason) = eviction {
            self.evictions.increment(reason);
        }
        count(own.as_deref().unwrap_or(&shown.others));
    }

    /// Counts what an event says of an agent.
    pub(crate) fn observe(&self, event: &Event, latency: Duration) {
        match event {
            Event::TokenExchanged(issue) => {
                self.on(Some(&issue.agent_id), |series| {
                    series.exchanged(ExchangeStatus::Success)
                });
            }
            Event::TokenExchangeRejected { status, agent_id } => {
                self.on(agent_id.as_ref(), |series| series.exchanged(*status));
            }
            Event::AuthRequestOpened { agent_id, .. } => {
                self.on(Some(agent_id), |series| series.authorized(latency));
            }
            Event::AuthorizeRejected { agent_id, .. } => {
                self.on(agent_id.as_ref(), |series| series.authorized(latency));
            }
            Event::WebhookDelivered { agent_id, .. } => {
                self.on(agent_id.as_ref(), |series| series.delivery(WebhookStatus::Delivered));
            }
            Event::WebhookDeliveryRetried(failure) => {
                self.on(failure.agent_id.as_ref(), |series| {
                    series.delivery(WebhookStatus::Retried)
                });
            }
            Event::WebhookDeliveryFailed(failure) => {
                self.on(failure.agent_id.as_ref(), |series| {
                    series.delivery(WebhookStatus::Failed)
                });
            }
            Event::AgentChanged {
                agent_id,
                change: AgentChange::Deleted,
            } => {
                let Some(shown) = &self.shown else { return };
                if shown.busiest().remove(agent_id) {
                    self.evictions.increment(EvictionReason::Deleted);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn tidy(&self) {
        let Some(shown) = &self.shown else { return };
        let idle = shown.busiest().tidy(self.clock.monotonic());
        self.evictions.add(EvictionReason::Idle, idle);
    }

    /// Writes the text. The agents are looked up first and no lock is held while text is written.
    pub(crate) fn render(&self, to: &mut dyn Write) -> fmt::Result {
        let Some(shown) = &self.shown else { return Ok(()) };
        let agents = shown.busiest().all();
        let families: [(&Metric, Family); 5] = [
            (&catalogue::EXCHANGES, AgentSeries::write_exchanges),
            (&catalogue::AUTHORIZE_DURATION, AgentSeries::write_authorizations),
            (&catalogue::ANOMALIES, AgentSeries::write_anomalies),
            (&catalogue::DELIVERIES, AgentSeries::write_deliveries),
            (&catalogue::ACTIVE_GRANTS, AgentSeries::write_active_grants),
        ];
        for (metric, write) in families {
            metric.write_head(to)?;
            for (agent, series) in &agents {
                write(series, to, metric.name, agent.as_str())?;
            }
            write(&shown.others, to, metric.name, OTHER)?;
            writeln!(to)?;
        }
        Ok(())
    }

    /// Sets the gauge of how many agents have series.
    pub(crate) fn set_count(&self) {
        let count = self.shown.as_ref().map_or(0, |shown| shown.busiest().len());
        self.count.set(count as f64);
    }
}

type Family = fn(&AgentSeries, &mut dyn Write, &str, &str) -> fmt::Result;

impl Metrics {
    /// Tells of an anomaly. `agent` is the agent that it is about; an id that nobody registered must not be given.
    pub fn agent_anomaly(&self, agent: Option<&AgentId>, severity: Severity) {
        self.0.agents.on(agent, |series| series.anomaly(severity));
    }

    /// The agents that have series of their own now: those whose grants are to be counted.
    pub fn busiest_agents(&self) -> Vec<AgentId> {
        let shown = self.0.agents.shown.as_ref();
        let all = shown.map_or_else(Vec::new, |shown| shown.busiest().all());
        all.into_iter().map(|(agent, _)| agent).collect()
    }

    /// Sets how many grants of these agents are active; what is left of `total` belongs to all others.
    pub fn set_agent_grants(&self, counts: &[(AgentId, u64)], total: u64) {
        let Some(shown) = &self.0.agents.shown else { return };
        let agents = shown.busiest().all();
        let mut others = total;
        for (agent, count) in counts {
            others = others.saturating_sub(*count);
            if let Ok(place) = agents.binary_search_by(|(known, _)| known.cmp(agent))
                && let Some((_, series)) = agents.get(place)
            {
                series.set_active_grants(*count);
            }
        }
        shown.others.set_active_grants(others);
    }
}
