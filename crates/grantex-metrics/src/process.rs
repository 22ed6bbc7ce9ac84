//! The process's own metrics, read from `/proc` when somebody asks. Written as text, because CPU seconds are a fractional
//! counter and the exporter's counters are whole.

use std::fmt::Write as _;
use std::fs;

use crate::catalogue::{Metric, process};

// USER_HZ is 100 on every Linux architecture that we build for; the kernel scales its ticks to it.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `/proc` says now; what cannot be read is left out.
pub(crate) fn render() -> String {
    let mut text = String::new();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The command may hold spaces and parentheses; fields are counted from behind it, beginning with the state (field 3).
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_ascii_whitespace().collect())
        .unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok());

    write(
        &mut text,
        &process::CPU,
        field(14)
            .zip(field(15))
            .map(|(user, system)| (user + system) / TICKS_PER_SECOND),
    );
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    write(&mut text, &process::RESIDENT, kibibytes(&status, "VmRSS:"));
    write(&mut text, &process::VIRTUAL, field(23));
    write(
        &mut text,
        &process::OPEN_FDS,
        fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64),
    );
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    write(&mut text, &process::MAX_FDS, soft_limit(&limits, "Max open files"));
    write(&mut text, &process::THREADS, field(20));
    let machine = fs::read_to_string("/proc/stat").unwrap_or_default();
    let booted = machine
        .lines()
        .find_map(|line| line.strip_prefix("btime "))
        .and_then(|text| text.trim().parse::<f64>().ok());
    write(
        &mut text,
        &process::START_TIME,
        booted
            .zip(field(22))
            .map(|(booted, ticks)| booted + ticks / TICKS_PER_SECOND),
    );
    text
}

fn write(text: &mut String, metric: &Metric, value: Option<f64>) {
    if let Some(value) = value {
        let _ = metric
            .write_head(text)
            .and_then(|()| writeln!(text, "{} {value}\n", metric.name));
    }
}

fn kibibytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim()
        .strip_suffix(" kB")?
        .trim()
        .parse::<f64>()
        .ok()
        .map(|count| count * 1024.0)
}

fn soft_limit(limits: &str, name: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
