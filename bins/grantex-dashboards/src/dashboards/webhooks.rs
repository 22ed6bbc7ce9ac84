//! Do events reach those who wait for them?

use crate::model::{Dashboard, Row, Unit, gauge, lines, row, stacked, stat};
use crate::promql::{growth, max, max_by, quantile, rate, rate_by, share, sum_by};

const DELIVERED: &str = r#"grantex_webhook_deliveries_total{status="delivered"}"#;
const ENDED: &str = r#"grantex_webhook_deliveries_total{status=~"delivered|failed"}"#;

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "webhooks",
        uid: "grantex-webhooks",
        title: "Grantex Webhooks and Streams",
        description: "Whether events reach those who wait for them: webhooks and event streams.",
        variables: Vec::new(),
        links: Vec::new(),
        rows: vec![now(), deliveries(), endpoints(), streams()],
        exceptions: Vec::new(),
    }
}

fn now() -> Row {
    row(
        "Now",
        vec![
            gauge(
                "Delivery Success",
                "Share of deliveries that ended well; retries that may still succeed are not counted. Below \
                98 %: verify that endpoints answer.",
            )
            .query(share(&rate(DELIVERED), &rate(ENDED)), "delivered")
            .bad_below(0.98, 0.95)
            .when_empty("no deliveries"),
            stat(
                "Oldest Waiting",
                "How long ago the oldest event happened that waits for an endpoint, retries included. More than \
                5 min while much is due: webhooks are late. Alone: one receiver refuses.",
            )
            .unit(Unit::Seconds)
            .query(max("grantex_webhook_oldest_pending_seconds"), "age")
            .bad_above(300.0, 3600.0),
            stat(
                "Due",
                "Deliveries that should be made now. Growing: more events than the workers can deliver.",
            )
            .query(max(r#"grantex_webhook_queue_depth{state="due"}"#), "due"),
            stat(
                "Scheduled",
                "Deliveries that wait for their next attempt. Growing: receivers refuse.",
            )
            .query(max(r#"grantex_webhook_queue_depth{state="scheduled"}"#), "scheduled"),
            stat(
                "Given Up",
                "Deliveries given up in the time that is shown. Not 0: their developers should ask for \
                redelivery; see the log lines webhook.delivery_failed.",
            )
            .query(growth(r#"grantex_webhook_deliveries_total{status="failed"}"#), "failed")
            .bad_above(1.0, 10.0),
            stat(
                "Endpoints Disabled",
                "Endpoints switched off in the time that is shown because they were gone or kept failing. \
                Tell their developers.",
            )
            .query(growth("grantex_webhook_endpoints_disabled_total"), "disabled")
            .bad_above(1.0, 10.0),
        ],
    )
}

fn deliveries() -> Row {
    row(
        "Deliveries",
        vec![
            stacked(
                "Attempts by Outcome",
                "Delivery attempts: delivered, to be retried, given up. retried growing: receivers are slow \
                or refuse.",
            )
            .unit(Unit::PerSecond)
            .query(rate_by("status", "grantex_webhook_deliveries_total"), "{{status}}"),
            lines(
                "Attempt Duration",
                "Time of one attempt. Near the time-out: receivers hang.",
            )
            .unit(Unit::Seconds)
            .query(quantile(0.5, "grantex_webhook_attempt_duration_seconds"), "p50")
            .query(quantile(0.99, "grantex_webhook_attempt_duration_seconds"), "p99"),
            lines(
                "End-to-end Time",
                "Time from the commit of an event to its receipt, retries included. The objective is a minute \
                for 99 of 100.",
            )
            .unit(Unit::Seconds)
            .query(quantile(0.5, "grantex_webhook_end_to_end_seconds"), "p50")
            .query(quantile(0.99, "grantex_webhook_end_to_end_seconds"), "p99"),
            stacked(
                "Queue",
                "Deliveries that are due, and that wait for their next attempt.",
            )
            .width(12)
            .query(max_by("state", "grantex_webhook_queue_depth"), "{{state}}"),
            lines(
                "Age of the Oldest Waiting",
                "How long ago the oldest event happened that waits for an endpoint, retries included. Rising by a \
                second a second: it is never taken.",
            )
            .width(12)
            .unit(Unit::Seconds)
            .query(max("grantex_webhook_oldest_pending_seconds"), "age")
            .bad_above(300.0, 3600.0),
        ],
    )
}

fn endpoints() -> Row {
    row(
        "Endpoints",
        vec![
            stacked(
                "Endpoints by State",
                "Endpoints that work, fail, are paused or were disabled. failing ones will be disabled unless \
                they recover.",
            )
            .width(12)
            .query(max_by("state", "grantex_webhook_endpoints"), "{{state}}"),
            lines(
                "Endpoints Disabled by Reason",
                "Endpoints that were switched off: gone (410), or failing for too long.",
            )
            .width(12)
            .unit(Unit::PerSecond)
            .query(
                rate_by("reason", "grantex_webhook_endpoints_disabled_total"),
                "{{reason}}",
            ),
        ],
    )
}

fn streams() -> Row {
    row(
        "Event streams",
        vec![
            stacked("Open Streams", "Connections that wait for events, by transport.")
                .width(12)
                .query(sum_by("transport", "grantex_event_streams"), "{{transport}}"),
            lines(
                "Streams Ended",
                "Why streams ended. Clients that cannot keep up should read faster, or ask for fewer types.",
            )
            .width(12)
            .unit(Unit::PerSecond)
            .query(rate_by("reason", "grantex_event_streams_ended_total"), "{{reason}}"),
        ],
    )
}
