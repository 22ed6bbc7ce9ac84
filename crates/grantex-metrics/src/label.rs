//! Labels and the closed sets of their values.

use grantex_core::event::{
    AgentChange, AuthorizeStatus, ConsentOutcome, DecisionStatus, ExchangeStatus, PolicyChange, RefreshStatus,
    VerifyStatus,
};
use grantex_core::policy::BackendKind;
use grantex_core::webhook::DisabledReason;

/// A type whose every value is a label value.
pub trait Closed: Copy + PartialEq + Send + Sync + 'static {
    /// Every value.
    const ALL: &'static [Self];
    /// The label value.
    fn text(self) -> &'static str;
    /// Every label value.
    fn texts() -> Vec<&'static str> {
        Self::ALL.iter().map(|value| value.text()).collect()
    }
}

macro_rules! closed_in_core {
    ($($name:ty = $all:expr),+) => { $(impl Closed for $name {
        const ALL: &'static [Self] = $all;
        fn text(self) -> &'static str { self.as_str() }
    })+ };
}

closed_in_core!(
    AgentChange = &AgentChange::ALL,
    AuthorizeStatus = AuthorizeStatus::ALL,
    BackendKind = &BackendKind::ALL,
    DecisionStatus = DecisionStatus::ALL,
    PolicyChange = PolicyChange::ALL,
    ConsentOutcome = ConsentOutcome::ALL,
    DisabledReason = DisabledReason::ALL,
    ExchangeStatus = ExchangeStatus::ALL,
    RefreshStatus = RefreshStatus::ALL,
    VerifyStatus = VerifyStatus::ALL
);

macro_rules! closed {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl Closed for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];
            fn text(self) -> &'static str { match self { $(Self::$variant => $text,)+ } }
        }
    };
}

closed!(/// How a grant came about.
GrantKind {
    /// A person (or, in sandbox mode, the developer) consented.
    Root = "root",
    /// Another grant was handed on.
    Delegated = "delegated",
});

closed!(/// What was presented a second time.
ReuseKind {
    /// An authorization code.
    Code = "code",
    /// A refresh token.
    RefreshToken = "refresh_token",
});

closed!(/// The level of a log line.
LogLevel {
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
});

closed!(/// A periodic job.
Job {
    /// Reads the signing keys again.
    Keys = "keys",
    /// Takes expired grants out of the active counts.
    ExpiredGrants = "expired_grants",
    /// Revokes the grants of deleted agents.
    DeletedAgents = "deleted_agents",
    /// Counts what waits to be delivered.
    WebhookBacklog = "webhook_backlog",
    /// Removes what is over.
    Janitor = "janitor",
});

closed!(/// How a job's run ended.
JobStatus {
    /// It did what it should.
    Success = "success",
    /// It failed; it runs again at its next time.
    Error = "error",
});

closed!(/// What the janitor removes.
JanitorTable {
    /// Authorization requests.
    AuthRequests = "auth_requests",
    /// Access and refresh tokens.
    Tokens = "tokens",
    /// Kept answers to refreshes.
    Replays = "replays",
    /// Event rows.
    Events = "events",
    /// Webhook deliveries.
    Deliveries = "webhook_deliveries",
    /// Retired signing keys.
    SigningKeys = "signing_keys",
});

closed!(/// A pool of database connections.
Pool {
    /// Readers of the embedded store.
    Read = "read",
    /// The writer of the embedded store.
    Write = "write",
    /// PostgreSQL.
    Postgres = "postgres",
});

closed!(/// What a signing key is doing.
SigningKeyState {
    /// Published, but too new to sign.
    Pending = "pending",
    /// Signing.
    Signing = "signing",
    /// Published, so that what it signed still verifies.
    Published = "published",
});

closed!(/// How a webhook delivery ended.
WebhookStatus {
    /// The receiver took it.
    Delivered = "delivered",
    /// It failed and will be tried again.
    Retried = "retried",
    /// It was given up.
    Failed = "failed",
});

closed!(/// How a waiting delivery stands.
QueueState {
    /// Its time has come.
    Due = "due",
    /// It waits for its time.
    Scheduled = "scheduled",
    /// Its endpoint is paused.
    Held = "held",
});

closed!(/// How a webhook endpoint stands.
EndpointState {
    /// Served, and the last attempt succeeded, or there was none.
    Active = "active",
    /// Served, and the last attempts failed.
    Failing = "failing",
    /// Paused by its developer.
    Paused = "paused",
    /// Disabled by the server.
    Disabled = "disabled",
});

closed!(/// What an anomaly is about.
AnomalyType {
    /// Far more calls than usual.
    RateSpike = "rate_spike",
    /// Too many failures.
    HighFailureRate = "high_failure_rate",
    /// A principal the agent never acted for.
    NewPrincipal = "new_principal",
    /// Activity at unusual hours.
    OffHoursActivity = "off_hours_activity",
    /// A burst.
    VelocitySpike = "velocity_spike",
    /// Wider scopes than before.
    ScopeEscalation = "scope_escalation",
    /// An agent nobody registered.
    UnknownAgent = "unknown_agent",
    /// One token from several places.
    TokenReplay = "token_replay",
    /// A refresh token was used twice.
    RefreshReuse = "refresh_reuse",
    /// More sessions at once than usual.
    ConcurrentSessions = "concurrent_sessions",
    /// Delegation close to its limit.
    DelegationDepth = "delegation_depth",
    /// Many revocations in a short time.
    RapidRevocation = "rapid_revocation",
    /// A budget is spent too fast.
    BudgetOverspend = "budget_overspend",
    /// Scopes that this agent rarely uses.
    UnusualScopeAccess = "unusual_scope_access",
});

closed!(/// How bad an anomaly is.
Severity {
    /// Worth a look.
    Low = "low",
    /// Look today.
    Medium = "medium",
    /// Look now.
    High = "high",
    /// Act now.
    Critical = "critical",
});

closed!(/// The method of an HTTP request.
HttpMethod {
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
});

impl Job {
    /// The name in the log and in the label.
    pub fn as_str(self) -> &'static str {
        self.text()
    }
}

impl LogLevel {
    /// The name in the log and in the label.
    pub fn as_str(self) -> &'static str {
        self.text()
    }
}

impl HttpMethod {
    /// The method with this name; whatever is not in the set is [`HttpMethod::Other`].
    pub fn of(name: &str) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|method| method.text() == name)
            .unwrap_or(Self::Other)
    }
}
