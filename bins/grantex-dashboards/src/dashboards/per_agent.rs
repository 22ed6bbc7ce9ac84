//! What does one agent do?

use crate::model::{Dashboard, Link, Row, Unit, Values, Variable, gauge, lines, row, stacked, stat, table};
use crate::promql::{CHOSEN, growth, max, max_by, quantile, rate, rate_by, share, sum};

const EXCHANGES: &str = r#"grantex_agent_token_exchange_total{agent_id="$agent_id"}"#;
const EXCHANGED: &str = r#"grantex_agent_token_exchange_total{agent_id="$agent_id",status="success"}"#;
const AUTHORIZATIONS: &str = r#"grantex_agent_authorize_duration_seconds{agent_id="$agent_id"}"#;
const ANOMALIES: &str = r#"grantex_agent_anomalies_total{agent_id="$agent_id"}"#;
const DELIVERIES: &str = r#"grantex_agent_webhook_deliveries_total{agent_id="$agent_id"}"#;
const GRANTS: &str = r#"grantex_agent_active_grants{agent_id="$agent_id"}"#;

/// Grafana's address of the query `{job="grantex"} | json | agentId="…"`, percent-encoded but for the variables.
const LOG_QUERY: &str = concat!(
    "/explore?schemaVersion=1&orgId=1&panes=%7B%22log%22%3A%7B%22datasource%22%3A%22${logs}%22%2C",
    "%22queries%22%3A%5B%7B%22refId%22%3A%22A%22%2C%22expr%22%3A%22%7Bjob%3D%5C%22grantex%5C%22%7D%20%7C%20json%20%7C%20",
    "agentId%3D%5C%22${agent_id}%5C%22%22%7D%5D%2C",
    "%22range%22%3A%7B%22from%22%3A%22${__from}%22%2C%22to%22%3A%22${__to}%22%7D%7D%7D",
);

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "per-agent",
        uid: "grantex-per-agent",
        title: "Grantex Per-Agent",
        description: "What one agent does. The servers keep series for their busiest agents only \
                (METRICS_AGENT_SERIES); all others are the agent `other`, and can be found through the log \
                and the audit API.",
        variables: vec![
            Variable {
                name: "agent_id",
                label: "Agent",
                values: Values::Query {
                    query: format!("label_values(grantex_agent_token_exchange_total{{{CHOSEN}}}, agent_id)"),
                    is_multiple: false,
                },
            },
            Variable {
                name: "logs",
                label: "Log data source",
                values: Values::Typed("Loki"),
            },
            Variable {
                name: "grantex_url",
                label: "Grantex",
                values: Values::Typed("http://localhost:3001"),
            },
        ],
        links: vec![
            Link {
                title: "Log of this agent",
                tooltip: "Every log line that names this agent, in the data source named by the variable",
                url: LOG_QUERY,
            },
            Link {
                title: "Audit entries of this agent",
                tooltip: "GET /v1/audit/entries; it asks for the developer's API key",
                url: "${grantex_url}/v1/audit/entries?chain=server&agentId=${agent_id:percentencode}",
            },
        ],
        rows: vec![agent(), all_agents()],
        exceptions: Vec::new(),
    }
}

fn agent() -> Row {
    row(
        "Agent $agent_id",
        vec![
            gauge(
                "Success Rate",
                "Share of this agent's token exchanges that succeed. Low: look at which results grow in Token \
                Exchanges, then at its log.",
            )
            .query(share(&rate(EXCHANGED), &rate(EXCHANGES)), "success")
            .bad_below(0.95, 0.85)
            .when_empty("no exchanges"),
            stat(
                "Active Grants",
                "Grants that this agent holds now. More than it needs: revoke through the grants API.",
            )
            .query(max(GRANTS), "active"),
            stat("Exchanges", "Token exchanges of this agent in the time that is shown.")
                .query(growth(EXCHANGES), "exchanges"),
            stat(
                "Authorization p99",
                "99 of 100 authorization requests of this agent are answered within this time. High for one \
                agent only: look at its policies and scopes.",
            )
            .unit(Unit::Seconds)
            .query(quantile(0.99, AUTHORIZATIONS), "p99")
            .bad_above(0.5, 2.0)
            .when_empty("no requests"),
            stat(
                "Anomalies",
                "Anomalies of this agent in the time that is shown. Not 0: review them, and suspend the agent \
                if they are not explained.",
            )
            .query(growth(ANOMALIES), "anomalies")
            .bad_above(1.0, 5.0),
            stat(
                "Webhook Deliveries",
                "Delivery attempts of events about this agent in the time that is shown.",
            )
            .query(growth(DELIVERIES), "attempts"),
            stacked(
                "Token Exchanges",
                "Token exchanges of this agent by how they ended. reuse or invalid_code: the agent retries \
                codes, or somebody else has them.",
            )
            .width(12)
            .unit(Unit::PerSecond)
            .query(rate_by("status", EXCHANGES), "{{status}}"),
            lines(
                "Authorization Latency",
                "Time to answer this agent's authorization requests. Compare with the overview: if all are \
                slow, it is the database.",
            )
            .width(12)
            .unit(Unit::Seconds)
            .query(quantile(0.5, AUTHORIZATIONS), "p50")
            .query(quantile(0.99, AUTHORIZATIONS), "p99")
            .bad_above(0.5, 2.0),
            lines(
                "Anomalies over Time",
                "When this agent's anomalies were detected. Follow the link to its log for the types.",
            )
            .width(8)
            .unit(Unit::PerSecond)
            .query(rate(ANOMALIES), "anomalies"),
            stacked(
                "Webhook Deliveries by Outcome",
                "Attempts to deliver events about this agent. failed: its developer's endpoint does not \
                answer.",
            )
            .width(8)
            .unit(Unit::PerSecond)
            .query(rate_by("status", DELIVERIES), "{{status}}"),
            lines(
                "Active Grants over Time",
                "Grants that this agent holds. A fall is a revocation: see who did it in its audit entries.",
            )
            .width(8)
            .query(max(GRANTS), "active"),
        ],
    )
}

fn all_agents() -> Row {
    row(
        "Busiest agents",
        vec![
            table(
                "Exchanges by Agent",
                "The ten agents with the most token exchanges a second. Choose one above.",
            )
            .width(12)
            .unit(Unit::PerSecond)
            .query(
                format!(
                    "topk(10, {})",
                    rate_by("agent_id", "grantex_agent_token_exchange_total")
                ),
                "{{agent_id}}",
            ),
            lines(
                "Active Grants by Agent",
                "The ten agents with the most grants. One that grows alone: look at what it asks for.",
            )
            .width(12)
            .query(
                format!("topk(10, {})", max_by("agent_id", "grantex_agent_active_grants")),
                "{{agent_id}}",
            ),
            lines(
                "Agents with Series",
                "How many agents have series of their own, on all servers together. At the limit all the time: \
                raise METRICS_AGENT_SERIES, if Prometheus has room for 35 series an agent and server.",
            )
            .width(12)
            .query(sum("grantex_agent_series"), "agents"),
            lines(
                "Agents that Lost Their Series",
                "displaced: more agents are busy than may have series. Much of it makes new series all the time: \
                raise METRICS_AGENT_SERIES.",
            )
            .width(12)
            .unit(Unit::PerSecond)
            .query(rate_by("reason", "grantex_agent_series_evictions_total"), "{{reason}}"),
        ],
    )
}
