//! Is the service healthy, and what is it doing?

use super::answered;
use crate::model::{Dashboard, Row, Unit, gauge, lines, row, stacked, stat};
use crate::promql::{growth, max, or_zero, quantile, rate, rate_by, share, sum, sum_by};

const EXCHANGES: &str = "grantex_token_exchange_total";
const EXCHANGED: &str = r#"grantex_token_exchange_total{status="success"}"#;
const REQUESTS: &str = "grantex_http_request_duration_seconds_count";

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "overview",
        uid: "grantex-overview",
        title: "Grantex Overview",
        description: "Whether the service is healthy, and what it is doing. Start here.",
        variables: Vec::new(),
        links: Vec::new(),
        rows: vec![health(), tokens(), grants(), http(), webhooks_and_anomalies()],
        exceptions: Vec::new(),
    }
}

fn health() -> Row {
    row(
        "Health",
        vec![
            stat(
                "Instances Up",
                "Instances that Prometheus can scrape. Fewer than you run: see the runbook of \
                GrantexHealthCheckFailing.",
            )
            .query(sum("up"), "up")
            .bad_below(1.0, 1.0),
            gauge(
                "Token Exchange Success Rate",
                "Share of token exchanges that succeed. Below 95 %: look at which results grow in Token \
                Exchange Rate, then at the log lines token.exchange_rejected.",
            )
            .query(share(&rate(EXCHANGED), &rate(EXCHANGES)), "success")
            .bad_below(0.95, 0.85)
            .when_empty("no exchanges"),
            stat(
                "Server Errors",
                "Share of requests answered with 5xx. Not 0: look at HTTP Error Rate below, then at the log \
                lines of level error, which carry the cause.",
            )
            .unit(Unit::Share)
            .query(share(&or_zero(&rate(&answered('5'))), &rate(REQUESTS)), "5xx")
            .bad_above(0.001, 0.01),
            stat(
                "Authorization p99",
                "99 of 100 authorization requests are answered within this time. High: look at the database \
                on the dashboard Grantex Runtime.",
            )
            .unit(Unit::Seconds)
            .query(quantile(0.99, "grantex_authorize_duration_seconds"), "p99")
            .bad_above(0.5, 2.0)
            .when_empty("no requests"),
            stat(
                "Active Grants",
                "Grants that are neither revoked nor expired. All instances tell the same number; it may be \
                15 s old. A sudden fall is a revocation: look at Grants Revoked.",
            )
            .query(max("grantex_active_grants"), "active"),
            stat(
                "Unacknowledged Anomalies",
                "Anomalies nobody has acknowledged. Review them through the anomalies API; the dashboard \
                Grantex Security shows their types.",
            )
            .query(max("grantex_anomalies_unacknowledged"), "open")
            .bad_above(1.0, 10.0),
        ],
    )
}

fn tokens() -> Row {
    row(
        "Tokens",
        vec![
            stacked(
                "Token Exchange Rate",
                "Token exchanges by how they ended. Much reuse or invalid_code: a client retries codes. \
                error: the server's fault.",
            )
            .unit(Unit::PerSecond)
            .query(rate_by("status", EXCHANGES), "{{status}}"),
            stacked(
                "Token Refresh Rate",
                "Refreshes by how they ended. reuse_detected may be a stolen token: see the dashboard Grantex \
                Security.",
            )
            .unit(Unit::PerSecond)
            .query(rate_by("status", "grantex_token_refresh_total"), "{{status}}"),
            stacked(
                "Token Verification Rate",
                "Online verifications by result. A growing share that is not valid: clients hold on to tokens \
                that have ended.",
            )
            .unit(Unit::PerSecond)
            .query(rate_by("status", "grantex_token_verify_total"), "{{status}}"),
            lines(
                "Token Exchange Latency",
                "Time to answer an exchange, whatever the outcome. The objective is 100 ms for 99 of 100. \
                High: look at the database and at the signing time.",
            )
            .unit(Unit::Seconds)
            .query(quantile(0.5, "grantex_token_exchange_duration_seconds"), "p50")
            .query(quantile(0.99, "grantex_token_exchange_duration_seconds"), "p99"),
            lines(
                "Authorization Latency",
                "Time to answer an authorization request, whatever the answer. Warning above 0.5 s, critical \
                above 2 s. High: look at the database.",
            )
            .unit(Unit::Seconds)
            .query(quantile(0.5, "grantex_authorize_duration_seconds"), "p50")
            .query(quantile(0.99, "grantex_authorize_duration_seconds"), "p99")
            .bad_above(0.5, 2.0),
            lines(
                "Verification Latency",
                "Time to verify a token online. The objective is 10 ms for 99 of 100. High: look at the \
                database's readers.",
            )
            .unit(Unit::Seconds)
            .query(quantile(0.5, "grantex_token_verify_duration_seconds"), "p50")
            .query(quantile(0.99, "grantex_token_verify_duration_seconds"), "p99"),
        ],
    )
}

fn grants() -> Row {
    row(
        "Grants",
        vec![
            stacked(
                "Authorization Requests",
                "Authorization requests by how they were answered. denied is a policy's refusal; people's \
                refusals are under Consent.",
            )
            .unit(Unit::PerSecond)
            .query(rate_by("status", "grantex_authorize_total"), "{{status}}"),
            lines(
                "Consent",
                "What people do on consent pages. Much gone: links are opened too late, or twice.",
            )
            .unit(Unit::PerSecond)
            .query(rate_by("status", "grantex_consent_total"), "{{status}}"),
            lines(
                "Grants Created and Revoked",
                "Grants that begin and end; revoked counts those that went with a revoked one. A spike of \
                revoked: see who did it in the log lines grant.revoked.",
            )
            .unit(Unit::PerSecond)
            .query(rate_by("kind", "grantex_grants_created_total"), "created, {{kind}}")
            .query(rate("grantex_grants_revoked_total"), "revoked"),
            stat(
                "Grants Revoked",
                "Grants revoked in the time that is shown, cascades included.",
            )
            .query(growth("grantex_grants_revoked_total"), "revoked"),
            stat("Grants Created", "Grants created in the time that is shown.")
                .query(growth("grantex_grants_created_total"), "created"),
            lines(
                "Active Grants over Time",
                "The same as Active Grants above. A steady rise without revocations: grants live longer than \
                they need to.",
            )
            .width(16)
            .query(max("grantex_active_grants"), "active"),
        ],
    )
}

fn http() -> Row {
    row(
        "HTTP",
        vec![
            lines(
                "HTTP Error Rate",
                "Share of requests refused (4xx) and failed (5xx). 4xx: clients; see the route in the log \
                lines request.completed. 5xx: the server or its database.",
            )
            .unit(Unit::Share)
            .query(share(&rate(&answered('4')), &rate(REQUESTS)), "4xx")
            .query(share(&or_zero(&rate(&answered('5'))), &rate(REQUESTS)), "5xx"),
            stacked(
                "Requests by Method",
                "All requests. What it is made of by route is on the dashboard Grantex Runtime.",
            )
            .unit(Unit::PerSecond)
            .query(rate_by("method", REQUESTS), "{{method}}"),
            lines(
                "Rate-limited Requests",
                "Requests answered with 429, a minute. Warning above 50, critical above 200: a client is \
                misconfigured, or somebody probes.",
            )
            .unit(Unit::PerMinute)
            .query(format!("{} * 60", rate("grantex_rate_limit_hits_total")), "429")
            .bad_above(50.0, 200.0),
        ],
    )
}

fn webhooks_and_anomalies() -> Row {
    row(
        "Webhooks and anomalies",
        vec![
            stacked(
                "Webhook Deliveries",
                "Delivery attempts by outcome: retried ones are tried again, failed ones are given up. See \
                the dashboard Grantex Webhooks.",
            )
            .width(6)
            .unit(Unit::PerSecond)
            .query(rate_by("status", "grantex_webhook_deliveries_total"), "{{status}}"),
            lines(
                "Webhooks Waiting",
                "Deliveries that are due or wait for their next attempt. Growing: receivers are slow or gone.",
            )
            .width(6)
            .query(max("grantex_webhook_queue_depth{state=\"due\"}"), "due")
            .query(max("grantex_webhook_queue_depth{state=\"scheduled\"}"), "scheduled"),
            stacked(
                "Anomalies Detected",
                "Anomalies a second by severity. Review what is new through the anomalies API; high and \
                critical at once.",
            )
            .width(6)
            .unit(Unit::PerSecond)
            .query(rate_by("severity", "grantex_anomalies_detected_total"), "{{severity}}"),
            stacked(
                "Open Event Streams",
                "Connections that wait for events. A fall to 0: a deployment, or a proxy that closes idle \
                connections.",
            )
            .width(6)
            .query(sum_by("transport", "grantex_event_streams"), "{{transport}}"),
        ],
    )
}
