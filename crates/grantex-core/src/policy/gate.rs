//! The place where policies decide an authorization request before a person is asked.

use super::{PolicyDecision, PolicyQuestion};

/// Decides authorization requests. The default, [`AskEveryone`], leaves all of them to the person.
pub trait PolicyGate: Send + Sync + 'static {
    /// The decision; called inside the request, so it must not block.
    fn decide(&self, question: &PolicyQuestion<'_>) -> PolicyDecision;
}

/// No policies: every request is put to the person.
#[derive(Debug, Clone, Copy, Default)]
pub struct AskEveryone;

impl PolicyGate for AskEveryone {
    fn decide(&self, _question: &PolicyQuestion<'_>) -> PolicyDecision {
        PolicyDecision::Undecided
    }
}
