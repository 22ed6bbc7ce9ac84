//! Tokens of both formats.

pub mod attenuate;
pub mod inspect;
pub mod verify;

use grantex_core::clock::Timestamp;
use grantex_core::token::biscuit::{Chain, TokenFormat};
use serde_json::{Map, Value};

use crate::output::{Output, Tone};

/// A JWT has dots, a Biscuit has none.
pub fn format_of(token: &str) -> TokenFormat {
    match token.contains('.') {
        true => TokenFormat::Jwt,
        false => TokenFormat::Biscuit,
    }
}

/// What a token says, for people.
fn described(
    output: &Output,
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    chain: Option<&Chain>,
) -> String {
    let heading = |text: &str| format!("{}\n", output.toned(Tone::Strong, text));
    let mut text = heading("header");
    text.push_str(&output.members(header));
    text.push_str(&heading("claims"));
    // Blocks are shown on their own.
    let told: Map<String, Value> = claims
        .iter()
        .filter(|(name, _)| name.as_str() != "blocks" || chain.is_none())
        .map(|(name, value)| (name.clone(), dated(name, value)))
        .collect();
    text.push_str(&output.members(&told));
    for (number, block) in chain.map(Chain::described).unwrap_or_default().iter().enumerate() {
        let name = match number {
            0 => "block 0, by the issuer".to_owned(),
            _ => format!("block {number}, by a holder"),
        };
        text.push_str(&heading(&name));
        text.push_str(&output.members(block.as_object().into_iter().flatten()));
    }
    text
}

/// Times of JWTs (RFC 7519 §2) as people read them.
fn dated(name: &str, value: &Value) -> Value {
    let seconds = value
        .as_i64()
        .filter(|_| matches!(name, "iat" | "exp" | "nbf" | "auth_time"));
    match seconds.and_then(|seconds| seconds.checked_mul(1_000)) {
        Some(millis) => format!("{value} ({})", Timestamp::from_millis(millis)).into(),
        None => value.clone(),
    }
}
