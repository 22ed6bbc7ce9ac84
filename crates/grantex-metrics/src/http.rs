//! HTTP requests: by method, route template and status code, all bounded.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use metrics::{Gauge, Histogram, Label};

use crate::catalogue::http;
use crate::exporter::Registry;
use crate::label::{Closed as _, HttpMethod};

type Series = (HttpMethod, &'static str, u16);

pub(crate) struct HttpMetrics {
    in_flight: Gauge,
    durations: RwLock<HashMap<Series, Histogram>>,
}

impl HttpMetrics {
    pub(crate) fn of(registry: &Registry) -> Self {
        Self {
            in_flight: registry.gauge(&http::IN_FLIGHT, &[]),
            durations: RwLock::default(),
        }
    }

    pub(crate) fn finished(&self, registry: &Registry, method: &str, route: &'static str, status: u16, seconds: f64) {
        let series = (HttpMethod::of(method), route, status);
        let known = self
            .durations
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&series)
            .map(|handle| {
                handle.record(seconds);
            });
        if known.is_none() {
            self.durations
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(series)
                .or_insert_with(|| register(registry, series))
                .record(seconds);
        }
    }

    pub(crate) fn in_flight(&self, delta: i64) {
        // Concurrent requests fit an f64 exactly many times over.
        self.in_flight.increment(delta as f64);
    }
}

fn register(registry: &Registry, (method, route, status): Series) -> Histogram {
    registry.histogram_with(
        &http::REQUEST_DURATION,
        vec![
            Label::from_static_parts("method", method.text()),
            Label::from_static_parts("route", route),
            Label::new("status_code", status.to_string()),
        ],
    )
}
