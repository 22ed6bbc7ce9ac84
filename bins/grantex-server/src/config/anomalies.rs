//! Detection of anomalies.

use std::ops::RangeInclusive;

use grantex_core::anomaly::detector::DetectorSettings;

use super::{Env, Variable};

const ENABLED: Variable = Variable::new(
    "ANOMALY_DETECTION_ENABLED",
    "true",
    "`false` looks for no anomalies, unless a developer asks for it; the API stays.",
);
const QUEUE: Variable = Variable::new(
    "ANOMALY_SIGNAL_QUEUE",
    "65536",
    "Signals (verifications, refusals) that wait in memory at most, some 300 bytes each. From half of it on they are sampled, beyond it dropped; \
     both are counted, and no request ever waits or fails for it. What is committed needs no place here.",
);
const CACHE: Variable = Variable::new(
    "ANOMALY_CACHE_BYTES",
    "67108864",
    "Bytes of agents' activities that are kept in memory to save reading them again, 0.3 to 5 kB an agent.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[&ENABLED, &QUEUE, &CACHE];

/// The section.
#[derive(Debug, Clone, Copy)]
pub struct Anomalies {
    /// Whether this server looks for anomalies by itself.
    pub is_enabled: bool,
    /// Bounds of what is kept in memory.
    pub detector: DetectorSettings,
}

pub(super) fn read(env: &mut Env) -> Anomalies {
    let defaults = DetectorSettings::default();
    Anomalies {
        is_enabled: env.flag(&ENABLED, true),
        detector: DetectorSettings {
            queue: bounded(env, &QUEUE, defaults.queue, 16..=10_000_000),
            cache_bytes: bounded(env, &CACHE, defaults.cache_bytes, 1_000_000..=u32::MAX),
        },
    }
}

fn bounded(env: &mut Env, variable: &'static Variable, default: usize, range: RangeInclusive<u32>) -> usize {
    let default = u32::try_from(default).unwrap_or(u32::MAX);
    usize::try_from(env.number(variable, default, range)).unwrap_or(usize::MAX)
}
