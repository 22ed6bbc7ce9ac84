//! The dashboards, one module each.

mod overview;
mod per_agent;
mod runtime;
mod security;
mod slo;
mod webhooks;

use crate::model::Dashboard;

/// All of them.
pub fn all() -> Vec<Dashboard> {
    vec![
        overview::dashboard(),
        per_agent::dashboard(),
        security::dashboard(),
        webhooks::dashboard(),
        runtime::dashboard(),
        slo::dashboard(),
    ]
}

/// The requests whose status begins with this digit.
fn answered(class: char) -> String {
    format!(r#"grantex_http_request_duration_seconds_count{{status_code=~"{class}.."}}"#)
}
