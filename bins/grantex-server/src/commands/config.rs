//! `config check`.

use super::line;
use crate::config::Config;
use crate::error::Failure;

/// The configuration was read without a problem; tells the warnings.
pub fn check(config: &Config) -> Result<(), Failure> {
    for warning in config.warnings() {
        line(&format!("warning: {warning}"))?;
    }
    line(&format!(
        "the configuration is good: {} at {}, {} store, {}",
        config.http.environment.as_str(),
        config.http.public_base_url,
        config.database.kind(),
        config.keys.algorithm.as_str(),
    ))
}
