//! Labels and the closed sets of their values. Those that flows know of are in core.

pub use grantex_core::anomaly::channel::ChannelKind;
pub use grantex_core::anomaly::{AnomalyKind, Severity};
use grantex_core::closed;
pub use grantex_core::closed::Closed;
pub use grantex_core::event::NotificationOutcome;

closed! {
    /// How a grant came about.
    pub enum GrantKind {
        /// A person (or, in sandbox mode, the developer) consented.
        Root = "root",
        /// Another grant was handed on.
        Delegated = "delegated",
    }
}

closed! {
    /// What was presented a second time.
    pub enum ReuseKind {
        /// An authorization code.
        Code = "code",
        /// A refresh token.
        RefreshToken = "refresh_token",
    }
}

closed! {
    /// The level of a log line.
    pub enum LogLevel {
        /// Somebody should act.
        Error = "error",
        /// Something was refused or went wrong once.
        Warn = "warn",
        /// Something happened.
        Info = "info",
        /// For the curious.
        Debug = "debug",
        /// For developers.
        Trace = "trace",
    }
}

closed! {
    /// A periodic job.
    pub enum Job {
        /// Reads the signing keys again.
        Keys = "keys",
        /// Takes expired grants out of the active counts.
        ExpiredGrants = "expired_grants",
        /// Revokes the grants of deleted agents.
        DeletedAgents = "deleted_agents",
        /// Counts what waits to be delivered.
        WebhookBacklog = "webhook_backlog",
        /// Counts the active grants of the busiest agents.
        AgentGrants = "agent_grants",
        /// Looks for developers whom nobody was called for, and counts open anomalies.
        Anomalies = "anomalies",
        /// Removes what is over.
        Janitor = "janitor",
    }
}

closed! {
    /// How a job's run ended.
    pub enum JobStatus {
        /// It did what it should.
        Success = "success",
        /// It failed; it runs again at its next time.
        Error = "error",
    }
}

closed! {
    /// What the janitor removes.
    pub enum JanitorTable {
        /// Authorization requests.
        AuthRequests = "auth_requests",
        /// Access and refresh tokens.
        Tokens = "tokens",
        /// Kept answers to refreshes.
        Replays = "replays",
        /// Revocations of blocks of Biscuits.
        RevokedBlocks = "revoked_blocks",
        /// Event rows.
        Events = "events",
        /// Entries of revocation feeds.
        Revocations = "revocations",
        /// Webhook deliveries.
        Deliveries = "webhook_deliveries",
        /// Anomalies, mutes, and activities of agents.
        Anomalies = "anomalies",
        /// Retired signing keys.
        SigningKeys = "signing_keys",
    }
}

closed! {
    /// A pool of database connections.
    pub enum Pool {
        /// Readers of the embedded store.
        Read = "read",
        /// The writer of the embedded store.
        Write = "write",
        /// PostgreSQL.
        Postgres = "postgres",
    }
}

closed! {
    /// What a signing key is doing.
    pub enum SigningKeyState {
        /// Published, but too new to sign.
        Pending = "pending",
        /// Signing.
        Signing = "signing",
        /// Published, so that what it signed still verifies.
        Published = "published",
    }
}

closed! {
    /// How a webhook delivery ended.
    pub enum WebhookStatus {
        /// The receiver took it.
        Delivered = "delivered",
        /// It failed and will be tried again.
        Retried = "retried",
        /// It was given up.
        Failed = "failed",
    }
}

closed! {
    /// How a waiting delivery stands.
    pub enum QueueState {
        /// Its time has come.
        Due = "due",
        /// It waits for its time.
        Scheduled = "scheduled",
        /// Its endpoint is paused.
        Held = "held",
    }
}

closed! {
    /// How a webhook endpoint stands.
    pub enum EndpointState {
        /// Served, and the last attempt succeeded, or there was none.
        Active = "active",
        /// Served, and the last attempts failed.
        Failing = "failing",
        /// Paused by its developer.
        Paused = "paused",
        /// Disabled by the server.
        Disabled = "disabled",
    }
}

closed! {
    /// What became of a signal that rules look at.
    pub enum SignalOutcome {
        /// An activity took it in.
        Folded = "folded",
        /// Another one stands for it, because too many waited.
        Sampled = "sampled",
        /// It is lost, because far too many waited.
        Dropped = "dropped",
        /// It was too far behind to be looked at.
        Skipped = "skipped",
    }
}

closed! {
    /// What became of a span.
    pub enum SpanFate {
        /// The collector took it.
        Exported = "exported",
        /// The collector did not take it.
        Failed = "failed",
        /// Too many were waiting.
        Dropped = "dropped",
    }
}

closed! {
    /// Why an agent lost its series.
    pub enum EvictionReason {
        /// Another agent is much busier.
        Displaced = "displaced",
        /// Nothing happened for long.
        Idle = "idle",
        /// The agent was deleted.
        Deleted = "deleted",
    }
}

closed! {
    /// Gauges that are read from the database together.
    pub enum Snapshot {
        /// How many signing keys there are.
        SigningKeys = "signing_keys",
        /// How many grants are active.
        ActiveGrants = "active_grants",
        /// What waits to be delivered, and how endpoints stand.
        Webhooks = "webhooks",
        /// How many grants of single agents are active.
        Agents = "agents",
    }
}

closed! {
    /// The method of an HTTP request.
    pub enum HttpMethod {
        /// GET.
        Get = "GET",
        /// HEAD.
        Head = "HEAD",
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// PATCH.
        Patch = "PATCH",
        /// DELETE.
        Delete = "DELETE",
        /// OPTIONS.
        Options = "OPTIONS",
        /// Anything else.
        Other = "other",
    }
}

impl HttpMethod {
    /// The method with this name; whatever is not in the set is [`HttpMethod::Other`].
    pub fn of(name: &str) -> Self {
        Self::parse(name).unwrap_or(Self::Other)
    }
}
