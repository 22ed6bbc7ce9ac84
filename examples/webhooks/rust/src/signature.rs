//! Whether a request comes from the Grantex server and was not changed on its way.
//!
//! Two families of headers say the same; [`verify`] takes the protocol's own when they are there, else those of Standard
//! Webhooks. `X-Grantex-Signature` alone is not taken: it does not cover the time, so that a recorded request would be good
//! for ever.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How far the time of an attempt may be from ours, in seconds.
pub const TOLERANCE: u64 = 300;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Headers are missing or cannot be read.
    Unsigned,
    /// It was signed too long ago, or in the future: it may be a recorded one.
    Stale,
    /// No signature fits.
    Forged,
}

/// Verifies a request. `header` looks a header up by its lower-case name, `body` holds the bytes as they came, `now` is in Unix
/// seconds. Any of `secrets` may have signed: two of them while a secret is being replaced.
///
/// # Errors
/// Why the request is refused.
pub fn verify<'a>(
    header: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    secrets: &[String],
    now: u64,
) -> Result<(), Refusal> {
    let is_own = header("x-grantex-signature-v2").is_some();
    let timestamp = header(if is_own {
        "x-grantex-timestamp"
    } else {
        "webhook-timestamp"
    });
    let timestamp = timestamp.ok_or(Refusal::Unsigned)?;
    let is_number = timestamp.len() <= 15 && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: u64 = timestamp.parse().ok().filter(|_| is_number).ok_or(Refusal::Unsigned)?;
    if now.abs_diff(seconds) > TOLERANCE {
        return Err(Refusal::Stale);
    }
    let is_genuine = if is_own {
        // While a secret is replaced, the older one signs in a header of its own.
        ["x-grantex-signature-v2", "x-grantex-signature-v2-previous"]
            .iter()
            .filter_map(|name| header(name)?.strip_prefix("sha256=").and_then(from_hex))
            .any(|tag| {
                let parts: [&[u8]; 3] = [timestamp.as_bytes(), b".", body];
                secrets.iter().any(|secret| fits(secret.as_bytes(), &parts, &tag))
            })
    } else {
        let (Some(id), Some(list)) = (header("webhook-id"), header("webhook-signature")) else {
            return Err(Refusal::Unsigned);
        };
        // A list: while a secret is replaced, both sign.
        list.split(' ')
            .filter_map(|item| STANDARD.decode(item.strip_prefix("v1,")?).ok())
            .any(|tag| {
                let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
                secrets.iter().any(|secret| fits(&standard_key(secret), &parts, &tag))
            })
    };
    is_genuine.then_some(()).ok_or(Refusal::Forged)
}

/// Whether this key signs these parts like that; compared in constant time.
fn fits(key: &[u8], parts: &[&[u8]], tag: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return false;
    };
    parts.iter().for_each(|part| mac.update(part));
    mac.verify_slice(tag).is_ok()
}

/// Standard Webhooks: the bytes that the secret encodes. A secret that is no base64 is used as it is.
fn standard_key(secret: &str) -> Vec<u8> {
    let text = secret.strip_prefix("whsec_").unwrap_or(secret);
    STANDARD.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const AT: u64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    /// The reference vector of Standard Webhooks.
    const STANDARD_HEADERS: [(&str, &str); 3] = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];

    fn check(headers: &[(&'static str, &str)], body: &[u8], secrets: &[&str], now: u64) -> Result<(), Refusal> {
        let secrets: Vec<String> = secrets.iter().map(ToString::to_string).collect();
        let header = |wanted: &str| {
            headers
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| *value)
        };
        verify(header, body, &secrets, now)
    }

    #[test]
    fn the_reference_vector_of_standard_webhooks() {
        let check = |body, secrets: &[&str], now| check(&STANDARD_HEADERS, body, secrets, now);
        assert_eq!(check(BODY, &[SECRET], AT), Ok(()));
        assert_eq!(check(BODY, &["another-secret-0", SECRET], AT), Ok(()));
        assert_eq!(check(b"{}", &[SECRET], AT), Err(Refusal::Forged));
        assert_eq!(check(BODY, &["another-secret-0"], AT), Err(Refusal::Forged));
        assert_eq!(check(BODY, &[], AT), Err(Refusal::Forged));
    }

    #[test]
    fn five_minutes_each_way() {
        for (now, expected) in [
            (AT - 301, Err(Refusal::Stale)),
            (AT - 300, Ok(())),
            (AT + 300, Ok(())),
            (AT + 301, Err(Refusal::Stale)),
        ] {
            assert_eq!(check(&STANDARD_HEADERS, BODY, &[SECRET], now), expected, "{now}");
        }
    }

    #[test]
    fn the_protocols_own_headers() {
        // Computed with another implementation.
        let tag = "sha256=2e37df5d4a028c51a7f3133d64ae1e300d2c2c900f1b1d49d4369ad2530f8964";
        let good = [("x-grantex-timestamp", "1614265330"), ("x-grantex-signature-v2", tag)];
        assert_eq!(check(&good, BODY, &[SECRET], AT), Ok(()));
        let rotated = [
            ("x-grantex-timestamp", "1614265330"),
            ("x-grantex-signature-v2", "sha256=00"),
            ("x-grantex-signature-v2-previous", tag),
        ];
        assert_eq!(check(&rotated, BODY, &[SECRET], AT), Ok(()));
        assert_eq!(check(&rotated, b"{}", &[SECRET], AT), Err(Refusal::Forged));
        assert_eq!(check(&good, BODY, &[SECRET], AT + 301), Err(Refusal::Stale));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let plain = [("x-grantex-signature", "sha256=00")];
        assert_eq!(check(&plain, BODY, &[SECRET], AT), Err(Refusal::Unsigned));
        for timestamp in ["", "+1614265330", " 1614265330", "1614265330.0", "0000001614265330"] {
            let headers = [
                ("x-grantex-timestamp", timestamp),
                ("x-grantex-signature-v2", "sha256=00"),
            ];
            assert_eq!(
                check(&headers, BODY, &[SECRET], AT),
                Err(Refusal::Unsigned),
                "{timestamp:?}"
            );
        }
        for signature in ["", "00", "sha256=", "sha256=0", "sha256=zz", "sha256=é"] {
            let headers = [
                ("x-grantex-timestamp", "1614265330"),
                ("x-grantex-signature-v2", signature),
            ];
            assert_eq!(
                check(&headers, BODY, &[SECRET], AT),
                Err(Refusal::Forged),
                "{signature:?}"
            );
        }
    }
}
