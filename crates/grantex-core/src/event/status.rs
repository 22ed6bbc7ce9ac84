//! The closed sets of outcomes that become labels of metrics.

use crate::closed;

closed! {
    /// How a token exchange ended.
    pub enum ExchangeStatus {
        /// Tokens were issued.
        Success = "success",
        /// The request was malformed or not authenticated.
        InvalidRequest = "invalid_request",
        /// The code is unknown, or not for this agent.
        InvalidCode = "invalid_code",
        /// The code was used before.
        Reuse = "reuse",
        /// The code has expired.
        Expired = "expired",
        /// The PKCE verifier is missing or wrong.
        Pkce = "pkce",
        /// A policy refused.
        Denied = "denied",
        /// The plan allows no further grant.
        PlanLimit = "plan_limit",
        /// A limiter refused.
        RateLimited = "rate_limited",
        /// The server failed.
        Error = "error",
    }
}

closed! {
    /// How an authorization request was answered.
    pub enum AuthorizeStatus {
        /// A request was opened.
        Success = "success",
        /// A policy refused.
        Denied = "denied",
        /// The request was malformed or not authenticated.
        InvalidRequest = "invalid_request",
        /// There is no such active agent.
        AgentNotFound = "agent_not_found",
        /// The plan allows no further grant.
        PlanLimit = "plan_limit",
        /// A limiter refused.
        RateLimited = "rate_limited",
        /// The server failed.
        Error = "error",
    }
}

closed! {
    /// How a refresh ended.
    pub enum RefreshStatus {
        /// New tokens were issued.
        Success = "success",
        /// The kept answer was repeated.
        Replayed = "replayed",
        /// The refresh token was used before.
        ReuseDetected = "reuse_detected",
        /// The refresh token or its grant has expired.
        Expired = "expired",
        /// The grant is revoked, or its agent may not act.
        Revoked = "revoked",
        /// A policy refused.
        Denied = "denied",
        /// The request was malformed, not authenticated, or names an unknown token.
        InvalidRequest = "invalid_request",
        /// A limiter refused.
        RateLimited = "rate_limited",
        /// The server failed.
        Error = "error",
    }
}

closed! {
    /// How a verification ended.
    pub enum VerifyStatus {
        /// The token is good.
        Valid = "valid",
        /// It is no token of this server: form, signature, issuer or claims.
        Malformed = "malformed",
        /// It has expired.
        Expired = "expired",
        /// Nobody issued it to this developer.
        Unknown = "unknown",
        /// The token or its grant is revoked.
        Revoked = "revoked",
        /// Its agent, or an agent above it, may not act.
        Suspended = "suspended",
        /// It is for another audience.
        Audience = "audience",
        /// The server failed.
        Error = "error",
    }
}

closed! {
    /// What happened on a consent page.
    pub enum ConsentOutcome {
        /// It was shown.
        Shown = "shown",
        /// The person approved.
        Approved = "approved",
        /// The person refused.
        Denied = "denied",
        /// The request had expired or was decided already.
        Gone = "gone",
    }
}

closed! {
    /// What policies said.
    pub enum DecisionStatus {
        /// Allowed without asking.
        Allow = "allow",
        /// Refused.
        Deny = "deny",
        /// Nothing matched.
        None = "none",
    }
}

closed! {
    /// What happened to policies.
    pub enum PolicyChange {
        /// A policy was made.
        Created = "created",
        /// A policy was changed.
        Updated = "updated",
        /// A policy was removed.
        Deleted = "deleted",
        /// A bundle was stored, but not put in force.
        BundleStored = "bundle_stored",
        /// A bundle was stored and put in force.
        BundleActivated = "bundle_activated",
    }
}

closed! {
    /// How an event stream is carried.
    pub enum StreamTransport {
        /// Server-sent events.
        Sse = "sse",
        /// WebSocket.
        WebSocket = "websocket",
    }
}

closed! {
    /// Why an event stream ended.
    pub enum StreamEnd {
        /// The client closed it, broke the protocol, or is gone.
        Client = "client",
        /// The server is shutting down.
        Draining = "draining",
        /// The client took nothing for too long although there was something to take.
        Slow = "slow",
        /// The API key with which it was opened is no longer in force.
        KeyChanged = "key_changed",
        /// What came next is no longer kept.
        Expired = "expired",
        /// The store failed.
        Error = "error",
    }
}
