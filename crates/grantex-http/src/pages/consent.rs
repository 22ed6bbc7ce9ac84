//! The page on which a person approves or denies.

use askama::Template;

use super::assets;

/// Names longer than this are set smaller, so that the question stays on the first screen of a phone.
const LONG_NAME: usize = 48;

/// Everything the consent page shows.
#[derive(Debug, Template)]
#[template(path = "consent.html")]
pub struct ConsentView<'a> {
    /// Where the routes are mounted: empty, or a path without its last slash.
    pub base_path: &'a str,
    /// The authorization request's id; it becomes part of the forms' targets.
    pub request_id: &'a str,
    /// Who runs the agent.
    pub developer_name: &'a str,
    /// Who wants to act.
    pub agent_name: &'a str,
    /// What its developer says about it.
    pub agent_description: Option<&'a str>,
    /// The agent's decentralised identifier.
    pub agent_did: &'a str,
    /// What it asks for, in the order of the request.
    pub scopes: &'a [ScopeLine<'a>],
    /// How long access lasts, such as "24 hours".
    pub duration_text: &'a str,
    /// How long this request can still be decided, such as "14 minutes".
    pub expires_in_text: &'a str,
    /// The host the browser goes to after the decision, if any.
    pub returns_to: Option<&'a str>,
    /// Whether the request comes from a sandbox account.
    pub is_sandbox: bool,
}

/// One permission asked for.
#[derive(Debug, Clone)]
pub struct ScopeLine<'a> {
    /// What it allows, as a sentence without its full stop; unused for a custom permission.
    pub sentence: &'a str,
    /// The scope as the developer wrote it.
    pub raw: &'a str,
    /// Whether the server cannot put it into words.
    pub is_custom: bool,
}

impl ConsentView<'_> {
    /// The whole page.
    ///
    /// # Errors
    /// Only when the template itself fails, which no content of the view can cause.
    pub fn page(&self) -> Result<String, askama::Error> {
        self.render()
    }

    fn has_long_name(&self) -> bool {
        self.agent_name.chars().count() > LONG_NAME
    }

    fn has_custom_scope(&self) -> bool {
        self.scopes.iter().any(|scope| scope.is_custom)
    }
}
