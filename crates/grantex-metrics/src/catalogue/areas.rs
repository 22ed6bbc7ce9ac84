//! The metrics, one module a subject.

use super::Area;

macro_rules! areas {
    ($($module:ident: $title:literal { $($constant:ident = $metric:expr;)+ })+) => {
        $(
            #[doc = concat!("Metrics of: ", $title, ".")]
            pub mod $module {
                #[allow(unused_imports, reason = "not every area needs every name")]
                use super::super::{
                    CASCADES, DELIVERY_SECONDS, DEPTHS, JOB_SECONDS, Label, Metric, PEOPLE_SECONDS, POLICY_SECONDS, PROPAGATION_SECONDS, REQUEST_SECONDS, SIGN_SECONDS, Values,
                };
                #[allow(unused_imports, reason = "not every area needs every name")]
                use crate::label::{ChannelKind, Closed as _, EndpointState, EvictionReason, GrantKind, HttpMethod, JanitorTable, Job, JobStatus, LogLevel, NotificationOutcome, Pool, QueueState, ReuseKind, SignalOutcome, SigningKeyState, Snapshot, SpanFate, WebhookStatus};
                #[allow(unused_imports, reason = "not every area needs every name")]
                use grantex_core::event::{
                    AgentChange, AuthorizeStatus, ConsentOutcome, DecisionStatus, ExchangeStatus, PolicyChange, RefreshStatus,
                    StreamEnd, StreamTransport, VerifyStatus,
                };
                #[allow(unused_imports, reason = "not every area needs every name")]
                use grantex_core::policy::BackendKind;
                #[allow(unused_imports, reason = "not every area needs every name")]
                use grantex_core::anomaly::response::ResponseAction;
                #[allow(unused_imports, reason = "not every area needs every name")]
                use grantex_core::anomaly::{AnomalyKind, Severity};
                #[allow(unused_imports, reason = "not every area needs every name")]
                use grantex_core::webhook::DisabledReason;

                /// The area's heading.
                pub const TITLE: &str = $title;
                $(
                    #[doc = concat!("See the catalogue: ", stringify!($constant), ".")]
                    pub const $constant: Metric = $metric;
                )+
                /// All of them.
                pub const ALL: &[Metric] = &[$($constant,)+];
            }
        )+

        /// Every area.
        pub const AREAS: &[Area] = &[$(Area { title: $module::TITLE, metrics: $module::ALL },)+];
    };
}

areas! {
    http: "HTTP" {
        REQUEST_DURATION = Metric::histogram(
            "grantex_http_request_duration_seconds",
            REQUEST_SECONDS,
            "HTTP request duration; unknown paths are one route, unmatched.",
        )
        .labelled(&[
            Label::closed("method", HttpMethod::texts),
            Label { name: "route", values: Values::SeenRoutes },
            Label { name: "status_code", values: Values::SeenStatusCodes },
        ]);
        IN_FLIGHT = Metric::gauge(
            "grantex_http_requests_in_flight",
            "HTTP requests that are being answered; open event streams are counted on their own.",
        );
    }
    authorize: "Authorization" {
        REQUESTS = Metric::counter("grantex_authorize_total", "Authorization requests, by how they were answered.")
            .labelled(&[Label::closed("status", AuthorizeStatus::texts)]);
        DURATION = Metric::histogram(
            "grantex_authorize_duration_seconds",
            REQUEST_SECONDS,
            "Authorization request duration, whatever the answer.",
        );
    }
    consent: "Consent" {
        OUTCOMES = Metric::counter("grantex_consent_total", "What happened on consent pages and consent endpoints.")
            .labelled(&[Label::closed("status", ConsentOutcome::texts)]);
        DECISION = Metric::histogram(
            "grantex_consent_decision_seconds",
            PEOPLE_SECONDS,
            "Time from opening an authorization request to its decision.",
        );
    }
    tokens: "Tokens" {
        EXCHANGES = Metric::counter("grantex_token_exchange_total", "Token exchange attempts, by how they ended.")
            .labelled(&[Label::closed("status", ExchangeStatus::texts)]);
        EXCHANGE_DURATION = Metric::histogram(
            "grantex_token_exchange_duration_seconds",
            REQUEST_SECONDS,
            "Token exchange duration, whatever the outcome.",
        );
        REFRESHES = Metric::counter("grantex_token_refresh_total", "Token refresh attempts, by how they ended.")
            .labelled(&[Label::closed("status", RefreshStatus::texts)]);
        REFRESH_DURATION = Metric::histogram(
            "grantex_token_refresh_duration_seconds",
            REQUEST_SECONDS,
            "Token refresh duration, whatever the outcome.",
        );
        VERIFICATIONS = Metric::counter("grantex_token_verify_total", "Online token verifications, by their result.")
            .labelled(&[Label::closed("status", VerifyStatus::texts)]);
        VERIFY_DURATION = Metric::histogram(
            "grantex_token_verify_duration_seconds",
            REQUEST_SECONDS,
            "Online token verification duration, whatever the result.",
        );
        SIGN_DURATION = Metric::histogram(
            "grantex_token_sign_duration_seconds",
            SIGN_SECONDS,
            "Time to make the signature of one token.",
        );
        DELEGATIONS = Metric::counter("grantex_token_delegations_total", "First tokens of delegated grants.");
        TOKENS_REVOKED = Metric::counter("grantex_tokens_revoked_total", "Access tokens revoked on their own, without their grant.");
        OFFLINE_DELEGATIONS = Metric::counter("grantex_token_offline_delegations_total", "Agents that Biscuits showed to hold authority that was handed on without the server, each when it was first seen.");
        BLOCKS_REVOKED = Metric::counter("grantex_token_blocks_revoked_total", "Blocks of Biscuits revoked, each with what was derived from it.");
        REUSE = Metric::counter(
            "grantex_reuse_detected_total",
            "Second uses of a code or refresh token that were taken for theft.",
        )
        .labelled(&[Label::closed("kind", ReuseKind::texts)]);
    }
    grants: "Grants" {
        ACTIVE = Metric::gauge("grantex_active_grants", "Current active grants count.");
        CREATED = Metric::counter("grantex_grants_created_total", "Grants created, by how they came about.")
            .labelled(&[Label::closed("kind", GrantKind::texts)]);
        REVOKED = Metric::counter("grantex_grants_revoked_total", "Grants revoked (including cascade).");
        DEPTH = Metric::histogram("grantex_delegation_depth", DEPTHS, "How far from a person new grants are; 0 is a person's own.");
        CASCADE = Metric::histogram(
            "grantex_revocation_cascade_size",
            CASCADES,
            "How many active grants went with a revoked one.",
        );
    }
    agents: "Developers, agents, audit" {
        CHANGES = Metric::counter("grantex_agent_changes_total", "Agents registered, changed and deleted.")
            .labelled(&[Label::closed("change", AgentChange::texts)]);
        SIGN_UPS = Metric::counter("grantex_developers_signed_up_total", "Developers who signed up.");
        KEY_ROTATIONS = Metric::counter("grantex_api_keys_rotated_total", "API keys replaced by their developers.");
        AUDIT_ENTRIES = Metric::counter("grantex_audit_entries_logged_total", "Audit entries that developers wrote.");
    }
    policies: "Policies" {
        DECISIONS = Metric::counter(
            "grantex_policy_decisions_total",
            "Decisions of policies, at every step they are asked; of developers who have any, or of the policy backend.",
        )
        .labelled(&[Label::closed("decision", DecisionStatus::texts)]);
        EVALUATION = Metric::histogram(
            "grantex_policy_evaluation_seconds",
            POLICY_SECONDS,
            "Time to a policy decision, with reading the policies when they were not in memory.",
        );
        BACKEND_ERRORS = Metric::counter(
            "grantex_policy_backend_errors_total",
            "Policies that could not be asked: the operator's backend, or a developer's bundle in force.",
        )
        .labelled(&[Label::closed("backend", BackendKind::texts)]);
        CHANGES = Metric::counter("grantex_policy_changes_total", "Policies and bundles made, changed and removed.")
            .labelled(&[Label::closed("change", PolicyChange::texts)]);
    }
    single_agents: "Single agents" {
        EXCHANGES = Metric::counter(
            "grantex_agent_token_exchange_total",
            "Token exchange attempts of single agents, by how they ended.",
        )
        .labelled(&[
            Label { name: "agent_id", values: Values::Agents },
            Label::closed("status", ExchangeStatus::texts),
        ])
        .unrecorded();
        AUTHORIZE_DURATION = Metric::histogram(
            "grantex_agent_authorize_duration_seconds",
            REQUEST_SECONDS,
            "Authorization request duration of single agents, whatever the answer.",
        )
        .labelled(&[Label { name: "agent_id", values: Values::Agents }])
        .unrecorded();
        ANOMALIES = Metric::counter("grantex_agent_anomalies_total", "Anomalies of single agents.")
            .labelled(&[
                Label { name: "agent_id", values: Values::Agents },
                Label::closed("severity", Severity::texts),
            ])
            .unrecorded();
        DELIVERIES = Metric::counter(
            "grantex_agent_webhook_deliveries_total",
            "Outcomes of delivering events about single agents.",
        )
        .labelled(&[
            Label { name: "agent_id", values: Values::Agents },
            Label::closed("status", WebhookStatus::texts),
        ])
        .unrecorded();
        ACTIVE_GRANTS = Metric::gauge(
            "grantex_agent_active_grants",
            "Active grants of single agents, among the last 10,000 of each; all others are counted under other.",
        )
        .labelled(&[Label { name: "agent_id", values: Values::Agents }])
        .unrecorded();
        SERIES = Metric::gauge("grantex_agent_series", "Agents that have series of their own.");
        EVICTIONS = Metric::counter(
            "grantex_agent_series_evictions_total",
            "Agents that lost their series, by the reason.",
        )
        .labelled(&[Label::closed("reason", EvictionReason::texts)]);
    }
    limits: "Rate limits" {
        HITS = Metric::counter("grantex_rate_limit_hits_total", "Requests that a rate limit refused, by route template.")
            .labelled(&[Label { name: "endpoint", values: Values::Routes }]);
    }
    keys: "Signing keys" {
        SIGNING = Metric::gauge("grantex_signing_keys", "Published signing keys of JWTs, by what they are doing.")
            .labelled(&[Label::closed("state", SigningKeyState::texts)]);
    }
    webhooks: "Webhooks" {
        DELIVERIES = Metric::counter("grantex_webhook_deliveries_total", "Webhook delivery outcomes.")
            .labelled(&[Label::closed("status", WebhookStatus::texts)]);
        ATTEMPT_DURATION = Metric::histogram(
            "grantex_webhook_attempt_duration_seconds",
            REQUEST_SECONDS,
            "Duration of webhook delivery attempts, whatever came of them.",
        );
        END_TO_END = Metric::histogram(
            "grantex_webhook_end_to_end_seconds",
            DELIVERY_SECONDS,
            "Time from an event to the answer of the receiver that took it.",
        );
        QUEUE_DEPTH = Metric::gauge("grantex_webhook_queue_depth", "Webhook deliveries that wait, by what they wait for.")
            .labelled(&[Label::closed("state", QueueState::texts)]);
        OLDEST_PENDING = Metric::gauge(
            "grantex_webhook_oldest_pending_seconds",
            "Age of the oldest event that waits for an active endpoint; 0 when none waits.",
        );
        ENDPOINTS = Metric::gauge("grantex_webhook_endpoints", "Webhook endpoints, by how they stand.")
            .labelled(&[Label::closed("state", EndpointState::texts)]);
        DISABLED = Metric::counter(
            "grantex_webhook_endpoints_disabled_total",
            "Webhook endpoints that the server stopped serving, by the reason.",
        )
        .labelled(&[Label::closed("reason", DisabledReason::texts)]);
    }
    streams: "Event streams" {
        OPEN = Metric::gauge("grantex_event_streams", "Open event streams.")
            .labelled(&[Label::closed("transport", StreamTransport::texts)]);
        REFUSED = Metric::counter(
            "grantex_event_streams_refused_total",
            "Event streams that were refused because the developer had too many open.",
        )
        .labelled(&[Label::closed("transport", StreamTransport::texts)]);
        ENDED = Metric::counter("grantex_event_streams_ended_total", "Event streams that ended, by the reason.")
            .labelled(&[Label::closed("reason", StreamEnd::texts)]);
        SENT = Metric::counter("grantex_event_stream_events_total", "Events handed to the connections of event streams.");
    }
    revocations: "Revocation feed" {
        PROPAGATION = Metric::histogram(
            "grantex_revocation_propagation_seconds",
            PROPAGATION_SECONDS,
            "Time from the commit of a revocation to the first refusal because of it, at clients of the feed that report it.",
        );
        OPEN = Metric::gauge("grantex_revocation_streams", "Open streams of the revocation feed.");
        REFUSED = Metric::counter(
            "grantex_revocation_streams_refused_total",
            "Streams of the revocation feed that were refused because the developer had too many open.",
        );
        ENDED = Metric::counter(
            "grantex_revocation_streams_ended_total",
            "Streams of the revocation feed that ended, by the reason.",
        )
        .labelled(&[Label::closed("reason", StreamEnd::texts)]);
        SENT = Metric::counter(
            "grantex_revocation_stream_entries_total",
            "Entries handed to the connections of streams of the revocation feed.",
        );
        READ_FAILURES = Metric::counter(
            "grantex_revocation_feed_read_failures_total",
            "Reads of the revocation feed that failed, of the server itself, of its streams and of questions; clients refuse everything then, those of streams after a few seconds.",
        );
    }
    anomalies: "Anomalies" {
        DETECTED = Metric::counter("grantex_anomalies_detected_total", "Anomalies detected.")
            .labelled(&[Label::closed("type", AnomalyKind::texts), Label::closed("severity", Severity::texts)]);
        UNACKNOWLEDGED = Metric::gauge("grantex_anomalies_unacknowledged", "Unacknowledged anomalies.");
        LAG = Metric::histogram(
            "grantex_anomaly_detection_lag_seconds",
            JOB_SECONDS,
            "From the oldest signal of a pass of detection to its end.",
        );
        RESPONSES = Metric::counter(
            "grantex_anomaly_responses_total",
            "Anomalies because of which something was done, by what.",
        )
        .labelled(&[Label::closed("action", ResponseAction::texts)]);
        SIGNALS = Metric::counter("grantex_anomaly_signals_total", "Signals for the rules, by what became of them.")
            .labelled(&[Label::closed("outcome", SignalOutcome::texts)]);
        NOTIFICATIONS = Metric::counter(
            "grantex_anomaly_notifications_total",
            "Attempts to tell channels of anomalies.",
        )
        .labelled(&[
            Label::closed("channel_type", ChannelKind::texts),
            Label::closed("outcome", NotificationOutcome::texts),
        ]);
        WAITING = Metric::gauge("grantex_anomaly_signals_waiting", "Signals in memory that wait to be folded.");
    }
    database: "Database" {
        CONNECTIONS = Metric::gauge("grantex_database_pool_connections", "Open database connections.")
            .labelled(&[Label::closed("pool", Pool::texts)]);
        IN_USE = Metric::gauge("grantex_database_pool_connections_in_use", "Database connections that are working.")
            .labelled(&[Label::closed("pool", Pool::texts)]);
        WAITING = Metric::gauge("grantex_database_pool_waiting", "Calls that wait for a database connection.")
            .labelled(&[Label::closed("pool", Pool::texts)]);
        QUEUE_DEPTH = Metric::gauge(
            "grantex_database_write_queue_depth",
            "Units of work that wait for the writer of the embedded store, or for their developer's turn.",
        );
        ERRORS = Metric::counter("grantex_database_connection_errors_total", "Database connections that failed.")
            .labelled(&[Label::closed("pool", Pool::texts)]);
    }
    jobs: "Jobs" {
        RUNS = Metric::counter("grantex_job_runs_total", "Runs of periodic jobs, by how they ended.")
            .labelled(&[Label::closed("task", Job::texts), Label::closed("status", JobStatus::texts)]);
        DURATION = Metric::histogram("grantex_job_duration_seconds", JOB_SECONDS, "Duration of the runs of periodic jobs.")
            .labelled(&[Label::closed("task", Job::texts)]);
        LAST_SUCCESS = Metric::gauge(
            "grantex_job_last_success_timestamp_seconds",
            "When a periodic job last succeeded; 0 until it first does.",
        )
        .labelled(&[Label::closed("task", Job::texts)]);
        ROWS = Metric::counter("grantex_job_rows_total", "Rows that periodic jobs changed or removed.")
            .labelled(&[Label::closed("task", Job::texts)]);
        JANITOR_ROWS = Metric::counter("grantex_janitor_rows_removed_total", "Rows that the janitor removed, by table.")
            .labelled(&[Label::closed("table", JanitorTable::texts)]);
    }
    snapshots: "Snapshots" {
        AGE = Metric::gauge(
            "grantex_snapshot_age_seconds",
            "Age of what gauges tell of the database; they keep their values while it does not answer.",
        )
        .labelled(&[Label::closed("snapshot", Snapshot::texts)]);
    }
    logs: "Log" {
        LINES = Metric::counter("grantex_log_lines_total", "Log lines, by level, written or dropped.")
            .labelled(&[Label::closed("level", LogLevel::texts)]);
        DROPPED = Metric::counter("grantex_log_lines_dropped_total", "Log lines dropped because the writer could not keep up.");
    }
    traces: "Traces" {
        SPANS = Metric::counter("grantex_trace_spans_total", "Spans, by what became of them.")
            .labelled(&[Label::closed("status", SpanFate::texts)]);
    }
    build: "Build" {
        INFO = Metric::gauge("grantex_build_info", "Always 1; the label tells which version runs.")
            .labelled(&[Label { name: "version", values: Values::Fixed("the version") }]);
    }
    process: "Process" {
        CPU = Metric::counter("process_cpu_seconds_total", "User and system CPU time spent.").unrecorded();
        RESIDENT = Metric::gauge("process_resident_memory_bytes", "Resident memory.").unrecorded();
        VIRTUAL = Metric::gauge("process_virtual_memory_bytes", "Virtual memory.").unrecorded();
        OPEN_FDS = Metric::gauge("process_open_fds", "Open file descriptors.").unrecorded();
        MAX_FDS = Metric::gauge("process_max_fds", "Limit of open file descriptors.").unrecorded();
        THREADS = Metric::gauge("process_threads", "Threads.").unrecorded();
        START_TIME = Metric::gauge("process_start_time_seconds", "When the process started, since the Unix epoch.").unrecorded();
    }
}
