//! The place where policies decide an authorization request before a person is asked.

use crate::agent::Agent;
use crate::developer::Developer;
use crate::scope::Scopes;

/// What is about to be asked of a person.
#[derive(Debug)]
pub struct PolicyQuestion<'a> {
    /// The developer whose request it is.
    pub developer: &'a Developer,
    /// The agent that would act.
    pub agent: &'a Agent,
    /// The person who would be asked.
    pub principal_id: &'a str,
    /// The scopes asked for.
    pub scopes: &'a Scopes,
    /// The audience, when one was named.
    pub audience: Option<&'a str>,
}

/// What the policies say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyDecision {
    /// No policy matches: the person decides.
    Undecided,
    /// Allowed without asking.
    Allow,
    /// Refused without asking.
    Deny {
        /// Why, for the developer.
        reason: String,
    },
}

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
