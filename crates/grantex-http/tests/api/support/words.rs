//! A language of bundles of one word.

use std::sync::Arc;

use grantex_core::policy::engine::{BundleDecision, BundleProblem, CompiledBundle, PolicyEngine};
use grantex_core::policy::{Effect, PolicyQuestion};

/// Reads bundles that consist of one word: `allow` or `deny`.
pub struct OneWord;

struct Word(Effect);

impl PolicyEngine for OneWord {
    fn compile(&self, text: &str) -> Result<Arc<dyn CompiledBundle>, Vec<BundleProblem>> {
        let problem = BundleProblem {
            line: Some(1),
            column: Some(1),
            ..BundleProblem::of_all("no such word")
        };
        let effect = Effect::parse(text).ok_or_else(|| vec![problem])?;
        Ok(Arc::new(Word(effect)))
    }
}

impl CompiledBundle for Word {
    fn decide(&self, _question: &PolicyQuestion<'_>) -> BundleDecision {
        BundleDecision {
            effect: Some(self.0),
            rules: vec!["word".to_owned()],
            failures: Vec::new(),
        }
    }

    fn warnings(&self) -> &[BundleProblem] {
        &[]
    }

    fn weight(&self) -> u64 {
        1
    }
}
