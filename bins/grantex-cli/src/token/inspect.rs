//! `token inspect`.

use grantex_biscuit::narrow::read_unverified;
use grantex_biscuit::root_key_number;
use grantex_core::token::biscuit::{Chain, TokenFormat};
use grantex_core::token::jwt;
use serde_json::{Map, Value, json};

use super::{described, format_of};
use crate::error::Failure;
use crate::input;
use crate::output::{Output, Tone};

/// Shows what a token says.
pub fn inspect(file: Option<&str>, output: &Output) -> Result<(), Failure> {
    let token = input::token(file, output)?;
    let format = format_of(token.expose());
    let read = read(token.expose(), format).ok_or_else(|| {
        Failure::Usage(
            "this is neither a JWT nor a Biscuit of Grantex; the input is not shown, as it may be a secret".to_owned(),
        )
    })?;
    if output.is_json() {
        return output.json(&json!({
            "verified": false, "format": format.as_str(), "header": read.header, "claims": read.claims,
        }));
    }
    let warning = "NOT VERIFIED: this is what the token says, and anybody can write a token that says it";
    output.line(&output.toned(Tone::Warning, warning))?;
    output.line(&format!("format {}", format.as_str()))?;
    output.raw(&described(output, &read.header, &read.claims, read.chain.as_ref()))
}

struct Read {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    chain: Option<Chain>,
}

fn read(token: &str, format: TokenFormat) -> Option<Read> {
    if format == TokenFormat::Jwt {
        let (header, claims) = jwt::read_unverified(token)?;
        return Some(Read {
            header,
            claims,
            chain: None,
        });
    }
    let chain = read_unverified(token)?;
    let mut header = Map::new();
    if let Some(number) = root_key_number(token) {
        header.insert("rootKeyId".to_owned(), number.into());
    }
    Some(Read {
        header,
        claims: chain.claims(),
        chain: Some(chain),
    })
}
