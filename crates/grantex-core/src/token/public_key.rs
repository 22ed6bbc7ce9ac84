//! Public keys as others publish them: JWKs, for those who verify tokens that they did not issue.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::signer::{Algorithm, Verifier};

/// The lengths of a modulus, in bytes: 2,048 bits (RFC 7518 §3.3) to 8,192, the most that the library verifies with. It takes keys of
/// any length, and looks at this when it verifies.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1_024;
/// The longest public exponent, in bytes.
const MAX_EXPONENT: usize = 8;
/// Bytes of a coordinate of P-256.
const COORDINATE: usize = 32;
/// Tags of DER (X.690 §8.1.2).
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;

/// A public key, parsed once.
pub struct PublicKey {
    algorithm: Algorithm,
    key_id: String,
    jwk: Value,
    key: ParsedPublicKey,
}

impl PublicKey {
    /// Reads a JWK (RFC 7517 §4): an RSA key of 2,048 to 8,192 bits for RS256, or one on P-256 for ES256, with a `kid`.
    ///
    /// `None` for every other key, and for one whose `alg` or `use` says that it is for something else.
    pub fn from_jwk(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).map(|member| member.as_str());
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)??).ok();
        let (algorithm, key) = match text("kty")?? {
            "RSA" => (Algorithm::Rs256, rsa(&bytes("n")?, &bytes("e")?)?),
            "EC" if text("crv")? == Some("P-256") => (Algorithm::Es256, p256(&bytes("x")?, &bytes("y")?)?),
            _ => return None,
        };
        let is_for_this = |name: &str, expected: &str| text(name).is_none_or(|said| said == Some(expected));
        if !is_for_this("alg", algorithm.as_str()) || !is_for_this("use", "sig") {
            return None;
        }
        let key_id = text("kid")?.filter(|kid| !kid.is_empty())?.to_owned();
        Some(Self {
            algorithm,
            key_id,
            jwk: jwk.clone(),
            key,
        })
    }
}

impl Verifier for PublicKey {
    fn key_id(&self) -> &str {
        &self.key_id
    }

    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    fn jwk(&self) -> &Value {
        &self.jwk
    }
}

/// RFC 8017 §A.1.1: a sequence of modulus and exponent.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<ParsedPublicKey> {
    let (modulus, exponent) = (digits(modulus), digits(exponent));
    let is_short = modulus.len() == *MODULUS.start() && modulus.first().is_some_and(|first| first & 0x80 == 0);
    if !MODULUS.contains(&modulus.len()) || is_short || !(1..=MAX_EXPONENT).contains(&exponent.len()) {
        return None;
    }
    let members = [integer(modulus), integer(exponent)].concat();
    ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, element(SEQUENCE, &members)).ok()
}

/// An uncompressed point (SEC 1 §2.3.3).
fn p256(x: &[u8], y: &[u8]) -> Option<ParsedPublicKey> {
    if x.len() != COORDINATE || y.len() != COORDINATE {
        return None;
    }
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [&[4], x, y].concat()).ok()
}

/// The digits of a number, without leading zeros.
fn digits(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// A positive integer: a zero stands before the digits when the highest bit would be a sign.
fn integer(digits: &[u8]) -> Vec<u8> {
    let is_signed = digits.first().is_some_and(|first| first & 0x80 != 0);
    let content = if is_signed {
        [&[0], digits].concat()
    } else {
        digits.to_vec()
    };
    element(INTEGER, &content)
}

/// Tag, length and content; contents here are shorter than 64 KiB.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let length: &[u8] = match (high, low) {
        (0, 0..=0x7f) => &[low],
        (0, _) => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, content].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::token::crypto::KeyPair;
    use crate::token::signer::Signer;

    #[test]
    fn a_published_key_verifies_what_its_pair_signed() {
        for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
            let (pair, _) = KeyPair::generate(algorithm).unwrap();
            let public = PublicKey::from_jwk(pair.jwk()).unwrap();
            let signature = pair.sign(b"message").unwrap();
            assert!(public.verify(b"message", &signature));
            assert!(!public.verify(b"messagf", &signature));
            assert_eq!(
                (public.key_id(), public.algorithm()),
                (Verifier::key_id(&pair), algorithm)
            );
            assert_eq!(public.jwk(), pair.jwk());
        }
    }

    #[test]
    fn keys_for_anything_else_are_not_taken() {
        let (pair, _) = KeyPair::generate(Algorithm::Es256).unwrap();
        let changed = |name: &str, value: Value| {
            let mut jwk = pair.jwk().clone();
            jwk[name] = value;
            PublicKey::from_jwk(&jwk).is_some()
        };
        assert!(changed("more", json!(1)));
        for (name, value) in [
            ("alg", json!("ES384")),
            ("alg", json!(1)),
            ("use", json!("enc")),
            ("kid", json!("")),
            ("kid", json!(null)),
            ("kty", json!("OKP")),
            ("kty", json!("RSA")),
            ("crv", json!("P-384")),
            ("x", json!("AAAA")),
            ("y", json!("!")),
        ] {
            assert!(!changed(name, value.clone()), "{name}: {value}");
        }
        let rsa = |n: String| PublicKey::from_jwk(&json!({"kty": "RSA", "kid": "k", "n": n, "e": "AQAB"})).is_some();
        // 2,048 bits, then one less, and less with zeros before.
        assert!(rsa(URL_SAFE_NO_PAD.encode([0xff; 256])));
        assert!(!rsa(URL_SAFE_NO_PAD.encode([0x7f; 256])));
        assert!(!rsa(URL_SAFE_NO_PAD.encode([vec![0; 200], vec![0xff; 100]].concat())));
        for n in ["", "AQAB", "-a__"] {
            assert!(!rsa(n.to_owned()), "{n}");
        }
        assert!(!rsa("_".repeat(4_000)));
    }
}
