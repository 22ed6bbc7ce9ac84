//! What is measured apart from the operations of the protocol: webhooks, event streams, policies.

use super::met;
use crate::measure::float;
use crate::report::{PolicyReport, StreamReport, WebhookReport, mib};
use crate::score::{Score, label, title};
use crate::table::{Table, whole};
use crate::targets::{EVENT_AGE_MS, MANY_STREAMS, POLICY_COST_MICROS, STREAMS_KIB, deliveries_per_second};

pub(super) fn webhook_section(reports: &[&WebhookReport], score: &mut Score) -> String {
    let mut table = Table::new(&[
        "server",
        "backlog",
        "endpoints",
        "target /s",
        "deliveries/s",
        "verdict",
        "CPU µs",
        "doubled",
        "missing",
        "events/s",
        "age p50 ms",
        "age p99 ms",
        "age max ms",
        "verdict",
    ]);
    for report in reports {
        let server = title(&report.labels);
        let goal = deliveries_per_second(label(&report.labels, "store"));
        let (is_fast, is_prompt) = (
            report.per_second >= goal && report.missing == 0,
            report.p99_ms < EVENT_AGE_MS,
        );
        score.count(is_fast, || {
            format!("{server}: webhook deliveries: {}/s", whole(report.per_second))
        });
        score.count(is_prompt, || {
            format!("{server}: age of events: p99 {:.0} ms", report.p99_ms)
        });
        table.row(vec![
            server,
            whole(float(report.backlog)),
            report.developers.to_string(),
            format!("≥ {}", whole(goal)),
            whole(report.per_second),
            met(is_fast).to_owned(),
            report.cpu_micros.map_or_else(|| "-".to_owned(), whole),
            whole(float(report.doubled)),
            whole(float(report.missing)),
            whole(report.events_per_second),
            whole(report.p50_ms),
            whole(report.p99_ms),
            whole(report.max_ms),
            met(is_prompt).to_owned(),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    format!(
        "## Webhooks\n\nA backlog of paused endpoints is released and drains to receivers in the generator; then events are made at a \
         steady rate, and their age is taken at their first arrival. A p99 under {EVENT_AGE_MS:.0} ms is wanted.\n\n{}\n",
        table.to_markdown()
    )
}

pub(super) fn stream_section(reports: &[&StreamReport], score: &mut Score) -> String {
    let mut table = Table::new(&[
        "server",
        "streams",
        "memory before",
        "target",
        "memory with them",
        "verdict",
        "KiB a stream",
        "memory after an event",
        "CPU % while silent",
        "one event to all, ms",
        "failures",
    ]);
    for report in reports {
        let server = format!("{}, {}", title(&report.labels), report.transport);
        let is_small = report.idle_kib <= STREAMS_KIB && report.refused + report.untold == 0;
        if report.streams >= MANY_STREAMS {
            score.count(is_small, || {
                let streams = whole(float(report.streams));
                format!("{server}: memory with {streams} streams: {}", mib(report.idle_kib))
            });
        }
        table.row(vec![
            server,
            whole(float(report.streams)),
            mib(report.before_kib),
            format!("≤ {}", mib(STREAMS_KIB)),
            mib(report.idle_kib),
            met(is_small).to_owned(),
            format!("{:.1}", report.kib_per_stream()),
            mib(report.after_kib),
            format!("{:.1}", report.silent_cpu_percent),
            whole(report.to_all_ms),
            (report.refused + report.untold).to_string(),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    format!(
        "## Event streams\n\nAll of one developer, opened by the generator and then silent for half a minute and a keepalive; resident memory of the \
         whole server. Then one exchange is made, and its second event awaited on every stream.\n\n{}\n",
        table.to_markdown()
    )
}

pub(super) fn policy_section(reports: &[&PolicyReport], score: &mut Score) -> String {
    let mut table = Table::new(&[
        "server",
        "policies",
        "arrangement",
        "target, µs",
        "cost, µs",
        "verdict",
        "p50 without, µs",
        "p50 with, µs",
        "p99 without, µs",
        "p99 with, µs",
        "first, ms",
    ]);
    for report in reports {
        let server = title(&report.labels);
        for figures in &report.figures {
            let is_cheap = figures.cost_micros() < POLICY_COST_MICROS;
            score.count(is_cheap, || {
                format!(
                    "{server}: {} policies: {:.0} µs",
                    report.policies,
                    figures.cost_micros()
                )
            });
            table.row(vec![
                server.clone(),
                report.policies.to_string(),
                figures.arrangement.clone(),
                format!("< {POLICY_COST_MICROS:.0}"),
                format!("{:.0}", figures.cost_micros()),
                met(is_cheap).to_owned(),
                format!("{:.0}", figures.without_p50_micros),
                format!("{:.0}", figures.with_p50_micros),
                format!("{:.0}", figures.without_p99_micros),
                format!("{:.0}", figures.with_p99_micros),
                format!("{:.1}", figures.first_ms),
            ]);
        }
    }
    if table.is_empty() {
        return String::new();
    }
    format!(
        "## Policies\n\nOne connection authorizes in turns for a developer without policies and for one with many, none of which decides; the \
         cost is the difference of the medians. The first authorization after a change reads the policies.\n\n{}\n",
        table.to_markdown()
    )
}
