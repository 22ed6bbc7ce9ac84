//! Traces, by the names that OpenTelemetry gives its variables.

use std::time::Duration;

use grantex_core::secret::Secret;
use url::Url;

use super::{Env, Variable};

const ENDPOINT: Variable = Variable::new(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "",
    "Where a collector takes OTLP over HTTP, for example `http://localhost:4318`; spans are sent to `/v1/traces` below it. Unset: no traces.",
);
const HEADERS: Variable = Variable::secret(
    "OTEL_EXPORTER_OTLP_HEADERS",
    "Headers for the collector: `name=value,name=value`.",
);
const TIMEOUT: Variable = Variable::new(
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "10000",
    "How long a request to the collector may take, in milliseconds, from 1 to 60000.",
);
const SERVICE_NAME: Variable = Variable::new("OTEL_SERVICE_NAME", "grantex", "The name of this service in traces.");
const SAMPLED: Variable = Variable::new(
    "OTEL_TRACES_SAMPLER_ARG",
    "1",
    "Which share of the requests is traced that come without a `traceparent`, from 0 to 1. With one, its flag decides.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[&ENDPOINT, &HEADERS, &TIMEOUT, &SERVICE_NAME, &SAMPLED];

/// The section.
#[derive(Debug)]
pub struct Traces {
    /// Where spans are sent; `None`: nowhere.
    pub url: Option<Url>,
    /// Headers for the collector.
    pub headers: Vec<(String, Secret<String>)>,
    /// How long a request may take.
    pub timeout: Duration,
    /// The service's name.
    pub service_name: String,
    /// Which share of the requests is traced that nobody has decided about.
    pub share: f64,
}

pub(super) fn read(env: &mut Env) -> Traces {
    let url = env.parsed(&ENDPOINT, None, |text| {
        let url = Url::parse(&format!("{}/v1/traces", text.trim_end_matches('/')));
        url.ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .map(Some)
            .ok_or_else(|| "must be an http or https URL".to_owned())
    });
    let headers = env
        .secret(&HEADERS)
        .map_or(Some(Vec::new()), |text| headers(text.expose()));
    if headers.is_none() {
        env.problem(HEADERS.name, "must be name=value, several of them parted by commas");
    }
    Traces {
        url,
        headers: headers.unwrap_or_default(),
        timeout: Duration::from_millis(env.number(&TIMEOUT, 10_000, 1..=60_000).into()),
        service_name: env
            .text(&SERVICE_NAME)
            .unwrap_or_else(|| SERVICE_NAME.default.to_owned()),
        share: env.parsed(&SAMPLED, 1.0, |text| {
            let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
            share.ok_or_else(|| "must be a number from 0 to 1".to_owned())
        }),
    }
}

fn headers(text: &str) -> Option<Vec<(String, Secret<String>)>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name.trim().to_owned(), Secret::new(value.trim().to_owned())))
        })
        .collect()
}
