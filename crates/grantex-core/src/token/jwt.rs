//! Compact JWS with a JSON payload (RFC 7515 §7.1, RFC 7519): made and read by hand, because signing with a key that is parsed
//! once is twice as fast as through a library that parses it each time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::signer::{Algorithm, KeyRing, SignError, Signer, Verifier};
use super::verified::VerifiedTokens;
use crate::secret::Secret;

/// The longest token that is looked at, in bytes: a little more than the longest that can be issued, which names as many and
/// as long scopes as are allowed, twice, in characters of four bytes.
pub const MAX_TOKEN_LENGTH: usize = 320 * 1024;

/// The `typ` of grant tokens (RFC 9068 §2.1).
pub const GRANT_TOKEN_TYPE: &str = "at+jwt";

/// Signs a payload.
pub fn sign(signer: &dyn Signer, typ: &str, payload: &str) -> Result<Secret<String>, SignError> {
    let header = format!(
        r#"{{"alg":"{}","typ":"{typ}","kid":"{}"}}"#,
        signer.algorithm().as_str(),
        signer.key_id()
    );
    let mut token = String::with_capacity((header.len() + payload.len()) * 4 / 3 + 360);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = signer.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(Secret::new(token))
}

/// A token whose signature is one of this server's keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Authentic {
    /// The header's `typ`, if any.
    pub typ: Option<String>,
    /// The payload.
    pub claims: Map<String, Value>,
}

/// A token that was read and not verified: nothing in it may be believed but the name of the key to look for.
#[derive(Debug)]
pub struct Unverified<'a> {
    header: Map<String, Value>,
    algorithm: Algorithm,
    message: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Reads the form; `None` for whatever cannot be a token: too long, other parts than three, a header that is no JSON object, has
    /// `crit` (RFC 7515 §4.1.11), or names an algorithm that is not served.
    pub fn parse(token: &'a str) -> Option<Self> {
        if token.len() > MAX_TOKEN_LENGTH {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        let header: Map<String, Value> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.contains_key("crit") {
            return None;
        }
        let algorithm = Algorithm::parse(header.get("alg")?.as_str()?)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Self {
            header,
            algorithm,
            message,
            payload,
            signature,
        })
    }

    /// The `kid`, which says where to look for the key.
    pub fn key_id(&self) -> Option<&str> {
        self.header.get("kid")?.as_str()
    }

    /// Whether the signature is this key's. The algorithm is the key's, never the token's choice.
    pub fn is_signed_by(&self, key: &dyn Verifier) -> bool {
        self.algorithm == key.algorithm() && key.verify(self.message.as_bytes(), &self.signature)
    }

    /// What the token says, once its signature was found good; `None` when its payload is no JSON object.
    pub fn into_authentic(self) -> Option<Authentic> {
        let typ = self.header.get("typ").and_then(Value::as_str).map(str::to_owned);
        let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(self.payload).ok()?).ok()?;
        Some(Authentic { typ, claims })
    }
}

/// Checks form and signature; `None` for whatever is not a token of these keys.
///
/// A signature that `verified` remembers is not checked again; its key must be among `keys` still.
pub fn open(keys: &KeyRing, verified: &VerifiedTokens, token: &str) -> Option<Authentic> {
    let parsed = Unverified::parse(token)?;
    let key = keys.verifier(parsed.key_id()?)?;
    if parsed.algorithm != key.algorithm() || !verified.check(token, || parsed.is_signed_by(&**key)) {
        return None;
    }
    parsed.into_authentic()
}

/// Header and payload of a token, as it says them: anybody can write such a token. To show, never to decide by; `None` for what has not
/// the form of a token, whatever its algorithm.
pub fn read_unverified(token: &str) -> Option<(Map<String, Value>, Map<String, Value>)> {
    if token.len() > MAX_TOKEN_LENGTH {
        return None;
    }
    let object = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(_), None) => Some((object(header)?, object(payload)?)),
        _ => None,
    }
}
