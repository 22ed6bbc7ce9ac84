//! Policies as code: bundles in Cedar, read, checked against the schema, and evaluated in this process.
//!
//! [`Cedar`] is core's [`PolicyEngine`]. A bundle is the text of policies; each is named by its `@id` or by its position, as
//! `policy0`, `policy1`, …. What they may speak of is in [`SCHEMA`], and a bundle that speaks of anything else is refused, so
//! that no rule silently never applies. A `forbid` that applies refuses, a `permit` approves, and when neither applies the
//! bundle says nothing: unlike in Cedar itself, what nothing permits is not denied, but put to the person.
//!
//! Texts are looked over before Cedar reads them ([`shape`]): its parser recurses, and an expression that is nested deeply
//! enough would overflow the stack and end the process.
//!
//! ```
//! use grantex_core::policy::PolicyEngine as _;
//!
//! let bundle = r#"
//!     @id("no-payments")
//!     forbid (principal, action, resource) when { context.scopes.contains("payments:send") };
//! "#;
//! assert!(grantex_policy::Cedar::new()?.compile(bundle).is_ok());
//! # Ok::<(), grantex_policy::SchemaError>(())
//! ```

mod bundle;
mod question;
pub mod shape;
mod text;

use std::sync::Arc;

use cedar_policy::{Schema, ValidationMode, Validator};
use grantex_core::policy::PolicyEngine;
use grantex_core::policy::engine::{BundleProblem, CompiledBundle};

use bundle::CedarBundle;

/// What bundles may speak of, in Cedar's schema language.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// Policies in one bundle at most.
pub const MAX_POLICIES: usize = 1_000;

/// The built-in schema cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the schema of bundles cannot be read: {0}")]
pub struct SchemaError(String);

/// Reads bundles in Cedar.
pub struct Cedar {
    validator: Validator,
}

impl Cedar {
    /// An engine for the built-in schema.
    ///
    /// # Errors
    /// Never, unless Cedar and the schema of this version do not belong together.
    pub fn new() -> Result<Self, SchemaError> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| SchemaError(error.to_string()))?;
        Ok(Self {
            validator: Validator::new(schema),
        })
    }
}

impl PolicyEngine for Cedar {
    fn compile(&self, text: &str) -> Result<Arc<dyn CompiledBundle>, Vec<BundleProblem>> {
        shape::check(text).map_err(|problem| vec![problem])?;
        let policies = bundle::parse(text)?;
        let result = self.validator.validate(&policies, ValidationMode::Strict);
        let errors = text::problems(text, result.validation_errors(), false);
        if !errors.is_empty() {
            return Err(errors);
        }
        let warnings = text::problems(text, result.validation_warnings(), true);
        Ok(Arc::new(CedarBundle::new(policies, warnings, text.len())))
    }
}
