//! Reads what the workloads need out of a token, without verifying it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

#[derive(Deserialize)]
struct Payload {
    jti: String,
}

/// The `jti` of a compact JWT; `None` when the text is not one or has none.
pub fn token_id(jwt: &str) -> Option<String> {
    let mut parts = jwt.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let payload: Payload = serde_json::from_slice(&payload).ok()?;
    Some(payload.jti)
}

/// Whether the text has the three non-empty parts of a compact JWT.
pub fn looks_like_jwt(text: &str) -> bool {
    text.split('.').count() == 3 && text.split('.').all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> String {
        format!("eyJhbGciOiJSUzI1NiJ9.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn the_token_id_is_read_from_the_payload() {
        let token = jwt(r#"{"iss":"http://x","jti":"tok_1","scp":["a"],"n":null}"#);
        assert_eq!(token_id(&token).as_deref(), Some("tok_1"));
        assert!(looks_like_jwt(&token));
    }

    #[test]
    fn what_is_not_a_token_has_no_id() {
        assert_eq!(token_id(""), None);
        assert_eq!(token_id("a.b"), None);
        assert_eq!(token_id("a.!!.c"), None);
        assert_eq!(token_id(&jwt("{}")), None);
        assert_eq!(token_id(&jwt(r#"{"jti":7}"#)), None);
        assert_eq!(token_id(&format!("{}.d", jwt(r#"{"jti":"t"}"#))), None);
        assert!(!looks_like_jwt("a..c"));
        assert!(!looks_like_jwt("abc"));
    }
}
