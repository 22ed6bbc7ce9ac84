//! `token verify`: with published keys, without an account.

use grantex_biscuit::{PublicRootKeys, key_number, root_key_number};
use grantex_core::clock::{Clock as _, SystemClock, Timestamp};
use grantex_core::token::biscuit::{Chain, TokenFormat};
use grantex_core::token::claims::Claims;
use grantex_core::token::jwt;
use grantex_core::token::public_key::PublicKey;
use serde_json::{Map, Value, json};

use super::{described, format_of};
use crate::cli::{Service, VerifyToken};
use crate::client::Client;
use crate::error::Failure;
use crate::input;
use crate::output::{Output, Tone};

/// What a good token was looked at for.
const CHECKED: [&str; 4] = ["signature", "type", "issuer", "expiry"];

/// Why a token is not good. The texts are part of the command's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Malformed,
    UnknownKey,
    Signature,
    Type,
    Issuer,
    Expired,
    Audience,
    Scope,
}

impl Reason {
    const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Type => "type",
            Self::Issuer => "issuer",
            Self::Expired => "expired",
            Self::Audience => "audience",
            Self::Scope => "scope",
        }
    }

    const fn about(self) -> &'static str {
        match self {
            Self::Malformed => "it is no token of Grantex, or a block says what no verifier can enforce",
            Self::UnknownKey => "the issuer publishes no key that it names",
            Self::Signature => "its signature is not the issuer's, or it was changed",
            Self::Type => "it is a token of another kind",
            Self::Issuer => "another issuer made it",
            Self::Expired => "it has expired",
            Self::Audience => "it is for another audience",
            Self::Scope => "it does not allow what is asked for",
        }
    }
}

/// A token whose signatures are good.
struct Authentic {
    key_id: String,
    header: Map<String, Value>,
    claims: Claims,
    chain: Option<Chain>,
}

/// Asks the issuer for its keys, and verifies.
pub async fn verify(service: &Service, options: &VerifyToken, output: &Output) -> Result<(), Failure> {
    let token = input::token(options.token.as_deref(), output)?;
    let (name, address) = match &options.at {
        Some(at) => ("--at", at),
        None => ("--issuer", &options.issuer),
    };
    let client = Client::anonymous(service, name, address)?;
    let format = format_of(token.expose());
    let verdict = match format {
        TokenFormat::Jwt => {
            let keys = client.get(&[".well-known", "jwks.json"], &[]).await?;
            open_jwt(listed(&keys), token.expose())
        }
        TokenFormat::Biscuit | TokenFormat::Both => {
            let keys = client.get(&[".well-known", "biscuit-keys.json"], &[]).await?;
            open_biscuit(listed(&keys), token.expose())
        }
    };
    let verdict = verdict.and_then(|authentic| {
        let reason = judge(&authentic, options, SystemClock::new().now());
        reason.map_or(Ok(authentic), Err)
    });
    match verdict {
        Ok(authentic) => good(&authentic, format, options, output),
        Err(reason) => bad(reason, format, output),
    }
}

/// The keys of a set (RFC 7517 §5).
fn listed(set: &Value) -> &[Value] {
    set.get("keys").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn kid(key: &Value) -> Option<&str> {
    key.get("kid").and_then(Value::as_str)
}

fn open_jwt(keys: &[Value], token: &str) -> Result<Authentic, Reason> {
    let (header, _) = jwt::read_unverified(token).ok_or(Reason::Malformed)?;
    let parsed = jwt::Unverified::parse(token).ok_or(Reason::Malformed)?;
    let key_id = parsed.key_id().ok_or(Reason::Malformed)?.to_owned();
    let mut named = keys.iter().filter(|key| kid(key) == Some(&key_id));
    let key = named.next().and_then(PublicKey::from_jwk).ok_or(Reason::UnknownKey)?;
    // Of two keys of one name nobody can say which is meant.
    if named.next().is_some() {
        return Err(Reason::UnknownKey);
    }
    if !parsed.is_signed_by(&key) {
        return Err(Reason::Signature);
    }
    let opened = parsed.into_authentic().ok_or(Reason::Malformed)?;
    // Tokens of other kinds share the keys and must never pass for grant tokens.
    if opened.typ.as_deref() != Some(jwt::GRANT_TOKEN_TYPE) {
        return Err(Reason::Type);
    }
    Ok(Authentic {
        key_id,
        header,
        claims: Claims::read(opened.claims).ok_or(Reason::Malformed)?,
        chain: None,
    })
}

fn open_biscuit(keys: &[Value], token: &str) -> Result<Authentic, Reason> {
    let number = root_key_number(token).ok_or(Reason::Malformed)?;
    let roots = PublicRootKeys::read(keys);
    if !roots.holds(number) {
        return Err(Reason::UnknownKey);
    }
    let key_id = keys.iter().filter_map(kid).find(|kid| key_number(kid) == number);
    let chain = roots.open(token).ok_or(Reason::Signature)?;
    Ok(Authentic {
        key_id: key_id.unwrap_or_default().to_owned(),
        header: [("rootKeyId".to_owned(), number.into())].into_iter().collect(),
        claims: Claims::read(chain.claims()).ok_or(Reason::Malformed)?,
        chain: Some(chain),
    })
}

/// What stands against an authentic token.
fn judge(authentic: &Authentic, options: &VerifyToken, now: Timestamp) -> Option<Reason> {
    let claims = &authentic.claims;
    let issuer = claims.members().get("iss").and_then(Value::as_str);
    if issuer != Some(options.issuer.trim_end_matches('/')) {
        return Some(Reason::Issuer);
    }
    if claims.expires_at <= now {
        return Some(Reason::Expired);
    }
    let is_for_nobody = authentic
        .chain
        .as_ref()
        .is_some_and(|chain| chain.effective().is_for_nobody);
    let is_other = options.audience.is_some() && options.audience != claims.audience;
    if is_for_nobody || is_other {
        return Some(Reason::Audience);
    }
    let has_all = options.scopes.iter().all(|scope| claims.scopes.contains(scope));
    (!has_all).then_some(Reason::Scope)
}

fn good(authentic: &Authentic, format: TokenFormat, options: &VerifyToken, output: &Output) -> Result<(), Failure> {
    let asked = [
        ("audience", options.audience.is_some()),
        ("scope", !options.scopes.is_empty()),
    ];
    let asked = asked
        .into_iter()
        .filter(|(_, is_asked)| *is_asked)
        .map(|(name, _)| name);
    let checked: Vec<&str> = CHECKED.into_iter().chain(asked).collect();
    let claims = authentic.claims.members();
    if output.is_json() {
        return output.json(&json!({
            "valid": true, "format": format.as_str(), "keyId": authentic.key_id, "checked": checked,
            "notChecked": ["revocation"], "claims": claims,
        }));
    }
    output.line(&format!(
        "{}: {} are good; whether it was revoked was NOT asked",
        output.toned(Tone::Good, "valid"),
        checked.join(", ")
    ))?;
    output.line(&format!("format {}", format.as_str()))?;
    output.raw(&described(output, &authentic.header, claims, authentic.chain.as_ref()))
}

fn bad(reason: Reason, format: TokenFormat, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        output.json(&json!({"valid": false, "format": format.as_str(), "reason": reason.text()}))?;
    } else {
        output.line(&format!("{}: {}", output.toned(Tone::Bad, "not valid"), reason.about()))?;
    }
    Err(Failure::No)
}
