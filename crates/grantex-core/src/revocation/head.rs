//! Signed heads: how far a developer's feed went at a time, and the hash that seals everything up to there.
//!
//! Two heads with one position and different hashes prove that somebody was told another story.

use serde_json::json;

use super::RevocationHead;
use crate::grantex::Grantex;
use crate::id::DeveloperId;
use crate::secret::Secret;
use crate::store::Store;
use crate::token::jwt;
use crate::token::signer::SignError;

/// The `typ` of signed heads. They have none of the claims of a grant token but `iss` and `iat`, so that nothing takes them for one.
pub const HEAD_TYPE: &str = "revocation-head+jwt";

impl<S: Store> Grantex<S> {
    /// A head as a compact JWS, signed by the RS256 key that also signs sessions; verifiable with the JWK set. Costs one signature.
    pub fn sign_revocation_head(
        &self,
        developer: &DeveloperId,
        head: &RevocationHead,
    ) -> Result<Secret<String>, SignError> {
        let payload = json!({
            "iss": self.parts.settings.issuer, "iat": self.now().as_seconds(),
            "developerId": developer, "cursor": head.seq, "hash": head.hash,
        });
        jwt::sign(&**self.keys().session_signer(), HEAD_TYPE, &payload.to_string())
    }
}
