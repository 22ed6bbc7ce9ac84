//! How a receiver knows that a request comes from this server and was not changed.
//!
//! Each request carries two families of signatures over the same body. The protocol's own headers (contract extensions §4.2)
//! are keyed with the secret as text; those of the Standard Webhooks specification are keyed with the bytes that the
//! secret encodes. All but `X-Grantex-Signature` cover the time of the attempt, so a recorded request cannot be replayed later.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::clock::Timestamp;
use crate::secret::{Secret, hex};

/// HMAC-SHA256 (RFC 2104) over the parts, one after another.
fn mac(key: &[u8], parts: &[&str]) -> Vec<u8> {
    // A key of any length is a key.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    parts.iter().for_each(|part| mac.update(part.as_bytes()));
    mac.finalize().into_bytes().to_vec()
}

/// `X-Grantex-Signature`: over the body alone.
pub fn body_signature(secret: &Secret<String>, body: &str) -> String {
    format!("sha256={}", hex(&mac(secret.expose().as_bytes(), &[body])))
}

/// `X-Grantex-Signature-V2`: over `<seconds>.<body>`, where `X-Grantex-Timestamp` holds the seconds.
pub fn timed_signature(secret: &Secret<String>, at: Timestamp, body: &str) -> String {
    let seconds = at.as_seconds().to_string();
    format!(
        "sha256={}",
        hex(&mac(secret.expose().as_bytes(), &[&seconds, ".", body]))
    )
}

/// One signature of `webhook-signature` (Standard Webhooks): over `<id>.<seconds>.<body>`.
///
/// The key is what its libraries make of the secret: `whsec_` is taken off and the rest read as base64. A secret that is no
/// base64 is used as it is.
pub fn standard_signature(secret: &Secret<String>, id: &str, at: Timestamp, body: &str) -> String {
    let text = secret.expose();
    let text = text.strip_prefix("whsec_").unwrap_or(text);
    let decoded = STANDARD.decode(text).ok().map(Secret::new);
    let key = decoded.as_ref().map_or(text.as_bytes(), |key| key.expose().as_slice());
    let seconds = at.as_seconds().to_string();
    format!("v1,{}", STANDARD.encode(mac(key, &[id, ".", &seconds, ".", body])))
}

/// The headers of one attempt. While a replaced secret still signs, `webhook-signature` holds both signatures, as its
/// specification wants; the protocol's headers hold one each, so the older secret has headers of its own, ending in `-Previous`.
pub fn headers(
    secret: &Secret<String>,
    previous: Option<&Secret<String>>,
    message_id: &str,
    at: Timestamp,
    body: &str,
) -> Vec<(&'static str, String)> {
    let seconds = at.as_seconds().to_string();
    let mut standard = standard_signature(secret, message_id, at, body);
    let mut headers = vec![
        ("X-Grantex-Signature", body_signature(secret, body)),
        ("X-Grantex-Timestamp", seconds.clone()),
        ("X-Grantex-Signature-V2", timed_signature(secret, at, body)),
        ("webhook-id", message_id.to_owned()),
        ("webhook-timestamp", seconds),
    ];
    if let Some(previous) = previous {
        headers.push(("X-Grantex-Signature-Previous", body_signature(previous, body)));
        headers.push(("X-Grantex-Signature-V2-Previous", timed_signature(previous, at, body)));
        standard.push(' ');
        standard.push_str(&standard_signature(previous, message_id, at, body));
    }
    headers.push(("webhook-signature", standard));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn the_reference_vector_of_standard_webhooks() {
        let signature = standard_signature(
            &secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Timestamp::from_millis(1_614_265_330_000),
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn rfc_4231_test_case_2() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(
            body_signature(&secret("Jefe"), "what do ya want for nothing?"),
            format!("sha256={expected}")
        );
    }

    #[test]
    fn the_timed_signature_covers_the_seconds() {
        let (key, at) = (secret("0123456789abcdef"), Timestamp::from_millis(1_700_000_000_999));
        assert_eq!(
            timed_signature(&key, at, "{}"),
            body_signature(&key, "1700000000.{}"),
            "whole seconds, a full stop, the body"
        );
    }

    #[test]
    fn a_secret_that_is_no_base64_is_taken_as_it_is() {
        let (plain, at) = (secret("not base64 at all!"), Timestamp::from_millis(0));
        let expected = STANDARD.encode(mac(b"not base64 at all!", &["evt.0.{}"]));
        assert_eq!(standard_signature(&plain, "evt", at, "{}"), format!("v1,{expected}"));
    }

    #[test]
    fn an_older_secret_signs_beside_the_newer() {
        let (new, old, at) = (
            secret("new-secret-00000"),
            secret("old-secret-00000"),
            Timestamp::from_millis(5_000),
        );
        let alone = headers(&new, None, "evt_1", at, "{}");
        let names: Vec<_> = alone.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            [
                "X-Grantex-Signature",
                "X-Grantex-Timestamp",
                "X-Grantex-Signature-V2",
                "webhook-id",
                "webhook-timestamp",
                "webhook-signature"
            ]
        );
        let both = headers(&new, Some(&old), "evt_1", at, "{}");
        let of = |name: &str| both.iter().find(|(known, _)| *known == name).unwrap().1.clone();
        assert_eq!(of("X-Grantex-Signature"), body_signature(&new, "{}"));
        assert_eq!(of("X-Grantex-Signature-Previous"), body_signature(&old, "{}"));
        assert_eq!(of("X-Grantex-Signature-V2-Previous"), timed_signature(&old, at, "{}"));
        let expected = [&new, &old]
            .map(|key| standard_signature(key, "evt_1", at, "{}"))
            .join(" ");
        assert_eq!(of("webhook-signature"), expected);
    }
}
