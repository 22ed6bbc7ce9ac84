//! The types under which developers are told of events: one list, from which projections, filters and documents take them.

macro_rules! kinds {
    (
        emitted { $($(#[$doc:meta])* $name:ident = $text:literal,)+ }
        expected { $($other:literal,)+ }
    ) => {
        $($(#[$doc])* pub const $name: &str = $text;)+

        /// Every type that this server tells of.
        pub const EMITTED: &[&str] = &[$($text,)+];

        /// Every type that may be asked for: those that this server tells of, and those of other servers of the protocol.
        /// Clients are written against both; to ask for one that never comes is no mistake.
        pub const KNOWN: &[&str] = &[$($text,)+ $($other,)+];
    };
}

kinds! {
    emitted {
        /// A grant came into being.
        GRANT_CREATED = "grant.created",
        /// A grant was revoked, with its descendants.
        GRANT_REVOKED = "grant.revoked",
        /// A policy, the principal or the developer refused an authorization request.
        GRANT_DENIED = "grant.denied",
        /// Tokens were made: by an exchange, a refresh or a delegation.
        TOKEN_ISSUED = "token.issued",
        /// A Biscuit showed that its authority was handed on without the server.
        TOKEN_DELEGATED_OFFLINE = "token.delegated_offline",
        /// An access token was revoked on its own.
        TOKEN_REVOKED = "token.revoked",
        /// A code or a refresh token was presented a second time.
        TOKEN_REUSE_DETECTED = "token.reuse_detected",
        /// A rule found something in what an agent does.
        ANOMALY_DETECTED = "anomaly.detected",
        /// The grants of an agent were revoked because of an anomaly, as the developer wanted it.
        ANOMALY_AUTO_REVOKED = "anomaly.auto_revoked",
        /// An agent was suspended because of an anomaly, as the developer wanted it.
        ANOMALY_AGENT_SUSPENDED = "anomaly.agent_suspended",
        /// A developer changed what is done about anomalies.
        RESPONSE_POLICY_UPDATED = "irregularity.policy.updated",
        /// An endpoint was disabled: it is gone, or had failed for days.
        WEBHOOK_DISABLED = "webhook.disabled",
        /// A developer asked for a test event; only the endpoint under test is told.
        WEBHOOK_TEST = "webhook.test",
    }
    expected {
        "budget.exhausted",
        "budget.threshold",
        "consent_bundle.created",
        "consent_bundle.revoked",
        "consent_bundle.synced",
        "dpdp.consent.created",
        "dpdp.consent.withdrawn",
        "dpdp.erasure.completed",
        "dpdp.grievance.filed",
        "fido.assertion",
        "fido.registered",
        "passport.issued",
        "passport.revoked",
        "passport.token-exchange",
        "sd-jwt.issued",
        "sd-jwt.presented",
        "sso.connection.created",
        "sso.connection.deleted",
        "sso.connection.updated",
        "sso.login",
        "vault.credential.deleted",
        "vault.credential.exchanged",
        "vault.credential.stored",
        "vc.issued",
    }
}

/// The known type with this name.
pub fn known(text: &str) -> Option<&'static str> {
    KNOWN.iter().copied().find(|kind| *kind == text)
}
