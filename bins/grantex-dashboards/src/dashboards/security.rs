//! Is somebody trying something?

use crate::model::{Dashboard, Row, Unit, lines, row, stacked, stat, table};
use crate::promql::{growth, max, max_by, or_zero, quantile, rate, rate_by, series, sum};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "security",
        uid: "grantex-security",
        title: "Grantex Security",
        description: "Reuse, refusals, revocations, anomalies and keys: whether somebody is trying something.",
        variables: Vec::new(),
        links: Vec::new(),
        rows: vec![now(), refusals(), grants(), feed(), people(), anomalies(), keys()],
        exceptions: Vec::new(),
    }
}

fn now() -> Row {
    row(
        "In the time that is shown",
        vec![
            stat(
                "Reuse Detected",
                "Codes and refresh tokens that were used a second time and taken for theft. Not 0: see the \
                runbook of GrantexReuseDetected.",
            )
            .query(growth("grantex_reuse_detected_total"), "reuse")
            .bad_above(1.0, 2.0),
            stat(
                "Grants Revoked",
                "Grants revoked, cascades included. Unusually many: see who did it in the log lines \
                grant.revoked.",
            )
            .query(growth("grantex_grants_revoked_total"), "revoked"),
            stat(
                "Tokens Revoked",
                "Access tokens revoked on their own; their grants stay.",
            )
            .query(growth("grantex_tokens_revoked_total"), "revoked"),
            stat(
                "Rate-limited",
                "Requests answered with 429. Many: see which routes below, and which addresses in the log \
                lines rate_limit.hit.",
            )
            .query(growth("grantex_rate_limit_hits_total"), "429"),
            stat(
                "Anomalies",
                "Anomalies detected. Review them through the anomalies API.",
            )
            .query(growth("grantex_anomalies_detected_total"), "anomalies")
            .bad_above(5.0, 10.0),
            stat(
                "Unacknowledged Anomalies",
                "Anomalies nobody has acknowledged. Acknowledge what is explained; resolve the rest.",
            )
            .query(max("grantex_anomalies_unacknowledged"), "open")
            .bad_above(1.0, 10.0),
        ],
    )
}

fn refusals() -> Row {
    row(
        "Refusals",
        vec![
            lines(
                "Reuse Detected by Kind",
                "When codes and refresh tokens were used a second time. Their grants are revoked already; \
                find the agent in the log lines token.reuse_detected.",
            )
            .unit(Unit::PerSecond)
            .query(rate_by("kind", "grantex_reuse_detected_total"), "{{kind}}"),
            stacked(
                "Exchanges Refused",
                "Token exchanges that did not succeed, by reason. invalid_code in numbers: somebody guesses \
                codes.",
            )
            .unit(Unit::PerSecond)
            .query(
                rate_by("status", r#"grantex_token_exchange_total{status!="success"}"#),
                "{{status}}",
            ),
            stacked(
                "Refreshes Refused",
                "Refreshes that did not succeed, by reason. revoked: agents that have not noticed; \
                reuse_detected: theft, or a client that retries.",
            )
            .unit(Unit::PerSecond)
            .query(
                rate_by("status", r#"grantex_token_refresh_total{status!~"success|replayed"}"#),
                "{{status}}",
            ),
            stacked(
                "Verifications Failed",
                "Tokens that did not verify, by reason. malformed or unknown in numbers: forged tokens, or \
                tokens of another server.",
            )
            .unit(Unit::PerSecond)
            .query(
                rate_by("status", r#"grantex_token_verify_total{status!="valid"}"#),
                "{{status}}",
            ),
            lines(
                "Refused Keys",
                "Requests answered with 401 or 403. A steady stream of 401: somebody tries keys, or a client \
                kept a rotated one.",
            )
            .unit(Unit::PerSecond)
            .query(
                or_zero(&rate(
                    r#"grantex_http_request_duration_seconds_count{status_code="401"}"#,
                )),
                "401",
            )
            .query(
                or_zero(&rate(
                    r#"grantex_http_request_duration_seconds_count{status_code="403"}"#,
                )),
                "403",
            ),
            table(
                "Rate-limited Routes",
                "The ten routes with the most requests answered with 429, a minute. The addresses are in the \
                log lines rate_limit.hit.",
            )
            .unit(Unit::PerMinute)
            .query(
                format!(
                    "topk(10, {} * 60)",
                    rate_by("endpoint", "grantex_rate_limit_hits_total")
                ),
                "{{endpoint}}",
            ),
            stacked(
                "Policy Decisions",
                "What policies decided, at every step they are asked; none: nothing matched, or there was nothing left \
                to allow. deny growing: a policy was changed, or an agent asks for more.",
            )
            .unit(Unit::PerSecond)
            .query(rate_by("decision", "grantex_policy_decisions_total"), "{{decision}}"),
            lines(
                "Policy Evaluation Time",
                "Time to evaluate the policies of one request. High: policies have grown; simplify them.",
            )
            .unit(Unit::Seconds)
            .query(quantile(0.5, "grantex_policy_evaluation_seconds"), "p50")
            .query(quantile(0.99, "grantex_policy_evaluation_seconds"), "p99"),
            lines(
                "Policy Backend Errors",
                "Policies that could not be asked, by backend; what is not decided is refused. Not 0: see the \
                runbook of GrantexPolicyBackendErrors.",
            )
            .unit(Unit::PerSecond)
            .query(rate_by("backend", "grantex_policy_backend_errors_total"), "{{backend}}"),
        ],
    )
}

fn grants() -> Row {
    row(
        "Grants",
        vec![
            lines(
                "Revocation Cascades",
                "How many active grants went with a revoked one. Large ones are visible to people: find out \
                who revoked, in the log lines grant.revoked.",
            )
            .query(quantile(0.5, "grantex_revocation_cascade_size"), "p50")
            .query(quantile(0.99, "grantex_revocation_cascade_size"), "p99"),
            lines(
                "Delegation Depth",
                "How far from a person new grants are. Near MAX_DELEGATION_DEPTH: agents hand on what they \
                were handed.",
            )
            .query(quantile(0.5, "grantex_delegation_depth"), "p50")
            .query(quantile(0.99, "grantex_delegation_depth"), "p99"),
            lines(
                "Delegations",
                "Grants that were handed on. A burst by one agent is in its log.",
            )
            .unit(Unit::PerSecond)
            .query(rate("grantex_token_delegations_total"), "delegations"),
            stacked(
                "Agents Changed",
                "Agents registered, suspended, deleted. What you did not do: see the audit entries of the \
                developer.",
            )
            .width(12)
            .unit(Unit::PerSecond)
            .query(rate_by("change", "grantex_agent_changes_total"), "{{change}}"),
            lines(
                "Audit Entries",
                "Entries that developers wrote. A fall to 0 while there is traffic: a client stopped writing \
                them.",
            )
            .width(12)
            .unit(Unit::PerSecond)
            .query(rate("grantex_audit_entries_logged_total"), "entries"),
        ],
    )
}

fn feed() -> Row {
    row(
        "Revocation feed",
        vec![
            lines(
                "Revocation to Refusal",
                "How long it took from a revocation to the first refusal because of it, at clients of the feed \
                that report it. More than 5 s: clients refused everything before.",
            )
            .unit(Unit::Seconds)
            .query(quantile(0.5, "grantex_revocation_propagation_seconds"), "p50")
            .query(quantile(0.99, "grantex_revocation_propagation_seconds"), "p99"),
            lines(
                "Streams of the Feed",
                "Clients that follow the revocation feed over a stream.",
            )
            .query(sum("grantex_revocation_streams"), "open"),
            lines(
                "Feed not Readable",
                "Looks at the feed that failed. Not 0: its clients refuse everything; see the database.",
            )
            .unit(Unit::PerSecond)
            .query(rate("grantex_revocation_feed_read_failures_total"), "failed"),
        ],
    )
}

fn people() -> Row {
    row(
        "People",
        vec![
            lines(
                "Consent",
                "What people decided. Many refusals: an agent asks for what people do not expect.",
            )
            .width(12)
            .unit(Unit::PerSecond)
            .query(
                rate_by("status", r#"grantex_consent_total{status=~"approved|denied"}"#),
                "{{status}}",
            ),
            lines(
                "Time to Decide",
                "How long people take on the consent page. Below two seconds for most: they no longer read \
                it.",
            )
            .width(12)
            .unit(Unit::Seconds)
            .query(quantile(0.5, "grantex_consent_decision_seconds"), "p50")
            .query(quantile(0.9, "grantex_consent_decision_seconds"), "p90"),
        ],
    )
}

fn anomalies() -> Row {
    row(
        "Anomalies",
        vec![
            stacked(
                "Anomalies by Type",
                "Anomalies by what they are about. Review the newest of the type that grows.",
            )
            .width(12)
            .unit(Unit::PerSecond)
            .query(rate_by("type", "grantex_anomalies_detected_total"), "{{type}}"),
            stacked(
                "Anomalies by Severity",
                "Anomalies by how bad they are. critical: act now, see the runbook of GrantexCriticalAnomaly.",
            )
            .unit(Unit::PerSecond)
            .width(6)
            .query(rate_by("severity", "grantex_anomalies_detected_total"), "{{severity}}"),
            lines(
                "Anomaly Detection Lag",
                "Time from what happened to its detection. More than a minute: the detection cannot keep up.",
            )
            .unit(Unit::Seconds)
            .width(6)
            .query(quantile(0.5, "grantex_anomaly_detection_lag_seconds"), "p50")
            .query(quantile(0.99, "grantex_anomaly_detection_lag_seconds"), "p99"),
        ],
    )
}

fn keys() -> Row {
    row(
        "Accounts and keys",
        vec![
            lines(
                "Signing Keys",
                "Published keys by what they are doing. No signing one: see the runbook of \
                GrantexNoSigningKey. pending for long: the rotation hangs.",
            )
            .query(max_by("state", "grantex_signing_keys"), "{{state}}"),
            lines(
                "Signing Time",
                "Time to make a signature. High while the processor is idle: look at the host.",
            )
            .unit(Unit::Seconds)
            .query(quantile(0.5, "grantex_token_sign_duration_seconds"), "p50")
            .query(quantile(0.99, "grantex_token_sign_duration_seconds"), "p99"),
            lines(
                "Accounts",
                "Developers who signed up, and API keys that were replaced. A burst of sign-ups: somebody \
                makes accounts by machine.",
            )
            .unit(Unit::PerSecond)
            .query(rate("grantex_developers_signed_up_total"), "sign-ups")
            .query(rate("grantex_api_keys_rotated_total"), "keys rotated"),
            table(
                "Versions",
                "Which versions run. More than one for long: a deployment stopped half-way.",
            )
            .width(24)
            .query(
                format!("count by (version, instance) ({})", series("grantex_build_info")),
                "{{version}}",
            ),
        ],
    )
}
