//! Flow error → refusal. One exhaustive match each, so that a new variant asks what a client is told.

use actix_web::http::StatusCode;
use grantex_core::agent::AgentError;
use grantex_core::anomaly::manage::AnomalyError;
use grantex_core::audit::AuditError;
use grantex_core::authorize::{AuthorizeError, ConsentError, SandboxDecisionError};
use grantex_core::developer::{RotateKeyError, SetPlanError, SignupError};
use grantex_core::event::history::ResumeError;
use grantex_core::grant::{DelegateError, RevokeGrantError};
use grantex_core::plan::PlanLimit;
use grantex_core::policy::engine::BundleProblem;
use grantex_core::policy::{BundleError, FieldProblem, PolicyDenied, PolicyError};
use grantex_core::principal::SessionError;
use grantex_core::token::{ExchangeError, RefreshError, RevokeTokenError};
use grantex_core::webhook::{RedeliverError, WebhookError};

use super::ApiError;

impl From<PlanLimit> for ApiError {
    fn from(limit: PlanLimit) -> Self {
        Self::new(StatusCode::PAYMENT_REQUIRED, "PLAN_LIMIT_EXCEEDED", limit.to_string())
    }
}

impl From<PolicyDenied> for ApiError {
    fn from(denied: PolicyDenied) -> Self {
        // RFC 6749 §5.2 knows no such refusal at the token endpoint; RFC 8628 §3.5 says it like this.
        Self {
            policy_id: Some(denied.0.by.to_string()),
            ..Self::new(StatusCode::FORBIDDEN, "POLICY_DENIED", denied.to_string()).oauth("access_denied")
        }
    }
}

impl From<PolicyError> for ApiError {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::NotFound => Self::not_found("policy"),
            PolicyError::Invalid(problem) => problem.into(),
            PolicyError::PlanLimit(limit) => limit.into(),
            PolicyError::Store(error) => error.into(),
        }
    }
}

impl From<FieldProblem> for ApiError {
    fn from(problem: FieldProblem) -> Self {
        Self::field(problem.field, &problem.problem)
    }
}

impl From<BundleError> for ApiError {
    fn from(error: BundleError) -> Self {
        match error {
            BundleError::Size => Self::field("content", &error.to_string()),
            BundleError::Invalid(problems) => {
                let more = problems.len().saturating_sub(1);
                let first = problems
                    .into_iter()
                    .next()
                    .map(|problem| place_and_text(&problem))
                    .unwrap_or_default();
                let rest = if more > 0 {
                    format!(" (and {more} more)")
                } else {
                    String::new()
                };
                Self::field("content", &format!("cannot be evaluated: {first}{rest}"))
            }
            BundleError::Store(error) => error.into(),
        }
    }
}

fn place_and_text(problem: &BundleProblem) -> String {
    match (problem.line, problem.column) {
        (Some(line), Some(column)) => format!("line {line}, column {column}: {}", problem.message),
        _ => problem.message.clone(),
    }
}

impl From<SignupError> for ApiError {
    fn from(error: SignupError) -> Self {
        match error {
            SignupError::EmailTaken => Self::new(StatusCode::CONFLICT, "CONFLICT", error.to_string()),
            SignupError::Store(error) => error.into(),
        }
    }
}

impl From<RotateKeyError> for ApiError {
    fn from(error: RotateKeyError) -> Self {
        match error {
            RotateKeyError::Stale => Self::unauthorized("the API key is not valid"),
            RotateKeyError::Store(error) => error.into(),
        }
    }
}

impl From<SetPlanError> for ApiError {
    fn from(error: SetPlanError) -> Self {
        match error {
            SetPlanError::UnknownDeveloper => Self::not_found("developer"),
            SetPlanError::Store(error) => error.into(),
        }
    }
}

impl From<AgentError> for ApiError {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::NotFound => Self::not_found("agent"),
            AgentError::PlanLimit(limit) => limit.into(),
            AgentError::Store(error) => error.into(),
        }
    }
}

impl From<AuthorizeError> for ApiError {
    fn from(error: AuthorizeError) -> Self {
        match error {
            AuthorizeError::PlanLimit(limit) => limit.into(),
            AuthorizeError::AgentNotFound => Self::not_found("active agent"),
            AuthorizeError::ScopeNotRegistered { .. } => {
                Self::field("scopes", &format!("cannot be asked for: {error}"))
            }
            AuthorizeError::TooLong { limit } => Self::field("expiresIn", &format!("must be at most {limit}")),
            AuthorizeError::PolicyDenied(denied) => denied.into(),
            AuthorizeError::Store(error) => error.into(),
        }
    }
}

impl From<SandboxDecisionError> for ApiError {
    fn from(error: SandboxDecisionError) -> Self {
        match error {
            SandboxDecisionError::ConsentRequired => {
                Self::new(StatusCode::FORBIDDEN, "CONSENT_REQUIRED", error.to_string())
            }
            SandboxDecisionError::NotFound => Self::not_found("pending authorization request"),
            SandboxDecisionError::Store(error) => error.into(),
        }
    }
}

impl From<ConsentError> for ApiError {
    fn from(error: ConsentError) -> Self {
        match error {
            ConsentError::NotFound => Self::not_found("authorization request"),
            ConsentError::Gone => Self::new(StatusCode::GONE, "GONE", error.to_string()),
            ConsentError::Store(error) => error.into(),
        }
    }
}

impl From<ExchangeError> for ApiError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::InvalidCode
            | ExchangeError::Reused
            | ExchangeError::Expired
            | ExchangeError::VerifierRequired
            | ExchangeError::VerifierMismatch
            | ExchangeError::RedirectUriMismatch => Self::bad_request(error.to_string()).oauth("invalid_grant"),
            ExchangeError::PolicyDenied(denied) => denied.into(),
            ExchangeError::FormatNotOffered(error) => Self::field("tokenFormat", &format!("cannot be had: {error}")),
            ExchangeError::PlanLimit(limit) => limit.into(),
            ExchangeError::Signing(error) => Self::internal(error),
            ExchangeError::Store(error) => error.into(),
        }
    }
}

impl From<RefreshError> for ApiError {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Unknown
            | RefreshError::AgentMismatch
            | RefreshError::Reused
            | RefreshError::Expired
            | RefreshError::Revoked
            | RefreshError::AgentInactive => Self::bad_request(error.to_string()).oauth("invalid_grant"),
            RefreshError::PolicyDenied(denied) => denied.into(),
            RefreshError::Signing(error) => Self::internal(error),
            RefreshError::Store(error) => error.into(),
        }
    }
}

impl From<RevokeTokenError> for ApiError {
    fn from(error: RevokeTokenError) -> Self {
        match error {
            RevokeTokenError::NotFound => Self::not_found("active token"),
            RevokeTokenError::Store(error) => error.into(),
        }
    }
}

impl From<RevokeGrantError> for ApiError {
    fn from(error: RevokeGrantError) -> Self {
        match error {
            RevokeGrantError::NotFound => Self::not_found("active grant"),
            RevokeGrantError::Store(error) => error.into(),
        }
    }
}

impl From<DelegateError> for ApiError {
    fn from(error: DelegateError) -> Self {
        match error {
            DelegateError::ParentInvalid(_) => {
                Self::field("parentGrantToken", "must be a valid token of an active grant")
            }
            DelegateError::ForeignParent => Self::forbidden("parentGrantToken belongs to another developer"),
            // Published clients know this refusal as 400 and as nothing else.
            DelegateError::DepthExceeded { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "DELEGATION_DEPTH_EXCEEDED", error.to_string())
            }
            DelegateError::ScopeNotInParent { .. } | DelegateError::ScopeNotRegistered { .. } => {
                Self::field("scopes", &format!("cannot be delegated: {error}"))
            }
            DelegateError::SubAgentNotFound => Self::not_found("active sub-agent"),
            DelegateError::ParentInactive => Self::bad_request(error.to_string()),
            DelegateError::TooLong { limit } => Self::field("expiresIn", &format!("must be at most {limit}")),
            DelegateError::PolicyDenied(denied) => denied.into(),
            DelegateError::ParentNarrowed => {
                Self::field("parentGrantToken", &format!("cannot be handed on here: {error}"))
            }
            DelegateError::FormatNotOffered(error) => Self::field("tokenFormat", &format!("cannot be had: {error}")),
            DelegateError::PlanLimit(limit) => limit.into(),
            DelegateError::Signing(error) => Self::internal(error),
            DelegateError::Store(error) => error.into(),
        }
    }
}

impl From<AuditError> for ApiError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::ActionReserved => {
                Self::new(StatusCode::BAD_REQUEST, "AUDIT_ACTION_RESERVED", error.to_string())
            }
            AuditError::MetadataReserved { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "AUDIT_METADATA_RESERVED", error.to_string())
            }
            AuditError::PlanLimit(limit) => limit.into(),
            AuditError::Store(error) => error.into(),
        }
    }
}

impl From<ResumeError> for ApiError {
    fn from(error: ResumeError) -> Self {
        match error {
            ResumeError::Expired { .. } | ResumeError::UnknownEvent => {
                Self::new(StatusCode::GONE, "GONE", error.to_string())
            }
            ResumeError::Ahead => Self::field("lastEventId", &error.to_string()),
            ResumeError::Store(error) => error.into(),
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::NoActiveGrant => Self::not_found("active grant of this principal"),
            SessionError::Signing(error) => Self::internal(error),
            SessionError::Store(error) => error.into(),
        }
    }
}

impl From<WebhookError> for ApiError {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::NotOffered => Self::not_configured("this server does not send webhooks"),
            WebhookError::NotFound => Self::not_found("webhook"),
            WebhookError::Disabled => Self::new(StatusCode::CONFLICT, "CONFLICT", error.to_string()),
            WebhookError::Url(refusal) => Self::field("url", &refusal.to_string()),
            WebhookError::PlanLimit(limit) => limit.into(),
            WebhookError::Sealing(error) => Self::internal(error),
            WebhookError::Store(error) => error.into(),
        }
    }
}

impl From<AnomalyError> for ApiError {
    fn from(error: AnomalyError) -> Self {
        match error {
            AnomalyError::NotFound(what) => Self::not_found(what),
            AnomalyError::Condition(error) => Self::bad_request(error.to_string()),
            AnomalyError::RuleIdTaken => Self::new(
                StatusCode::CONFLICT,
                "CONFLICT",
                "`ruleId` is taken by another rule".to_owned(),
            ),
            AnomalyError::TooMany { .. } => Self::new(StatusCode::CONFLICT, "CONFLICT", error.to_string()),
            AnomalyError::UnknownThreshold(_) | AnomalyError::Threshold { .. } | AnomalyError::NoThresholds => {
                Self::bad_request(error.to_string())
            }
            AnomalyError::MuteTimes => {
                Self::field("endsAt", "must lie in the future, and at most 90 days after startsAt")
            }
            AnomalyError::Channel(problem) => Self::field(&problem.field, &problem.problem),
            AnomalyError::NoChannels => Self::not_configured("this server sends no notifications"),
            AnomalyError::Sealing(error) => Self::internal(error),
            AnomalyError::ResponsePolicy { place: None, problem } => Self::field("policies", problem),
            AnomalyError::ResponsePolicy {
                place: Some(place),
                problem,
            } => Self::field(&format!("policies[{place}].rules"), problem),
            AnomalyError::Store(error) => error.into(),
        }
    }
}

impl From<RedeliverError> for ApiError {
    fn from(error: RedeliverError) -> Self {
        match error {
            RedeliverError::NotFound => Self::not_found("webhook or delivery"),
            RedeliverError::Pending | RedeliverError::Disabled => {
                Self::new(StatusCode::CONFLICT, "CONFLICT", error.to_string())
            }
            RedeliverError::Store(error) => error.into(),
        }
    }
}
