//! The port to a language in which bundles of policies are written.

use std::sync::Arc;

use super::{Effect, PolicyQuestion};

/// Rules of a bundle that are named in one decision at most.
pub const MAX_NAMED_RULES: usize = 100;

/// What is wrong with the text of a bundle, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleProblem {
    /// The line, from 1; `None` when it is about the whole.
    pub line: Option<usize>,
    /// The column, in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// Whether the bundle would work all the same.
    pub is_warning: bool,
}

impl BundleProblem {
    /// A problem of the text as a whole.
    pub fn of_all(message: impl Into<String>) -> Self {
        Self {
            line: None,
            column: None,
            message: message.into(),
            is_warning: false,
        }
    }
}

/// What a bundle says to a question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BundleDecision {
    /// What it decides; `None` when none of its rules applies.
    pub effect: Option<Effect>,
    /// The rules that decided, in the order of their names, at most [`MAX_NAMED_RULES`].
    pub rules: Vec<String>,
    /// Rules that could not be evaluated, and why. A refusal among them decides like one that applies.
    pub failures: Vec<String>,
}

/// A bundle that can decide.
pub trait CompiledBundle: Send + Sync + 'static {
    /// What it says. Must not block, and must end in time whatever is asked.
    fn decide(&self, question: &PolicyQuestion<'_>) -> BundleDecision;
    /// What should be known of it although it works.
    fn warnings(&self) -> &[BundleProblem];
    /// Roughly how many bytes of memory it takes.
    fn weight(&self) -> u64;
}

/// Reads bundles.
pub trait PolicyEngine: Send + Sync + 'static {
    /// Reads and checks the text of a bundle, or tells everything that is wrong with it.
    fn compile(&self, text: &str) -> Result<Arc<dyn CompiledBundle>, Vec<BundleProblem>>;
}

/// Reads no bundle: for services without policies as code.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEngine;

impl PolicyEngine for NoEngine {
    fn compile(&self, _text: &str) -> Result<Arc<dyn CompiledBundle>, Vec<BundleProblem>> {
        Err(vec![BundleProblem::of_all("this server evaluates no bundles")])
    }
}
