//! Do we keep our promises?

use crate::model::{Dashboard, Exception, Row, Unit, lines, row, stat, table};

/// The recorded series are of a whole job, so there is no instance to choose.
const CHOSEN: &str = r#"job=~"$job""#;

/// Share of requests that may break a promise.
const BUDGET: &str = "job_slo:grantex_slo_error_budget:ratio";

pub(super) fn dashboard() -> Dashboard {
    let rows = vec![now(), budget(), burning()];
    let panels = rows
        .iter()
        .flat_map(|row| &row.panels)
        .map(|panel| panel.title)
        .collect();
    Dashboard {
        name: "slo",
        uid: "grantex-slo",
        title: "Grantex SLO",
        description: "Whether the service keeps its promises: what was promised, how much of the error budget of \
                30 days is left, and how fast it is being spent. Needs the recording rules in \
                deploy/prometheus/rules/slo.yml.",
        variables: Vec::new(),
        links: Vec::new(),
        rows,
        exceptions: vec![Exception {
            rule: "target-instance-rule",
            panels,
            reason: "Promises are about the service, so the recording rules add all instances of a job up.",
        }],
    }
}

fn recorded(name: &str) -> String {
    format!("{name}{{{CHOSEN}}}")
}

/// At least -1: far below 0 it does not matter how far, and the rest would be flat.
fn budget_left() -> String {
    format!(
        "clamp_min({}, -1)",
        recorded("job_slo:grantex_slo_error_budget_left:ratio")
    )
}

fn now() -> Row {
    row(
        "Now",
        vec![
            stat(
                "Error Budget Left",
                "What is left of the errors that 30 days allow, for the promise that is worst off. Below 0: a \
                promise is broken; stop changing things until it recovers.",
            )
            .unit(Unit::Share)
            .query(format!("min({})", budget_left()), "left")
            .bad_below(0.25, 0.0),
            stat(
                "Fastest Burn",
                "How many times faster than allowed the budget was spent in the last hour, for the promise \
                that is worst off. 1 spends it in exactly 30 days, 14.4 in two days.",
            )
            .unit(Unit::Factor)
            .query(format!("max({})", burn("1h")), "burn rate")
            .bad_above(1.0, 14.4),
            table(
                "Promises",
                "Share of requests that may fail, or be slower than promised, in 30 days. Change them in \
                deploy/prometheus/rules/slo.yml.",
            )
            .width(16)
            .unit(Unit::Share)
            .query(format!("max by (slo) ({})", recorded(BUDGET)), "{{slo}}"),
        ],
    )
}

fn budget() -> Row {
    row(
        "Error budgets",
        vec![
            lines(
                "Error Budget Left by Promise",
                "What is left of the errors that 30 days allow. A cliff: an incident; look at what else \
                happened then.",
            )
            .width(12)
            .unit(Unit::Share)
            .query(budget_left(), "{{slo}}")
            .bad_below(0.25, 0.0),
            lines("Errors", "Share of requests that broke their promise, over 5 minutes.")
                .width(12)
                .unit(Unit::Share)
                .query(recorded("job_slo:grantex_slo_errors:ratio_rate5m"), "{{slo}}"),
        ],
    )
}

fn burning() -> Row {
    row(
        "Burn rates",
        vec![
            lines(
                "Burn Rate, 1 Hour",
                "How many times faster than allowed the budget is spent. Above 14.4 here and over 5 minutes, \
                somebody is paged.",
            )
            .unit(Unit::Factor)
            .query(burn("1h"), "{{slo}}")
            .bad_above(6.0, 14.4),
            lines(
                "Burn Rate, 6 Hours",
                "Above 6 here and over 30 minutes, somebody is paged.",
            )
            .unit(Unit::Factor)
            .query(burn("6h"), "{{slo}}")
            .bad_above(3.0, 6.0),
            lines(
                "Burn Rate, 3 Days",
                "Above 1 here and over 6 hours, a ticket is opened: at this pace the budget will not last.",
            )
            .unit(Unit::Factor)
            .query(burn("3d"), "{{slo}}")
            .bad_above(1.0, 3.0),
            lines(
                "Requests",
                "Requests that the promises are about. With few of them, single errors weigh much; the alerts \
                want a minimum.",
            )
            .width(24)
            .unit(Unit::PerSecond)
            .query(recorded("job_slo:grantex_slo_requests:rate5m"), "{{slo}}"),
        ],
    )
}

fn burn(window: &str) -> String {
    let errors = format!("job_slo:grantex_slo_errors:ratio_rate{window}");
    format!("{} / {}", recorded(&errors), recorded(BUDGET))
}
