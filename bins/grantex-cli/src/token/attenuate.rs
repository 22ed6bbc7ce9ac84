//! `token attenuate`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use grantex_biscuit::narrow::{NarrowError, narrow, read_unverified};
use grantex_core::clock::{Clock as _, SystemClock};
use grantex_core::secret::Secret;
use grantex_core::token::biscuit::{Narrowing, TokenFormat};
use serde_json::json;

use super::format_of;
use crate::cli::Attenuate;
use crate::error::Failure;
use crate::input;
use crate::output::Output;

/// Makes a narrower token.
pub fn attenuate(options: &Attenuate, output: &Output) -> Result<(), Failure> {
    let token = input::token(options.token.as_deref(), output)?;
    if format_of(token.expose()) == TokenFormat::Jwt {
        return Err(Failure::Usage(
            "a JWT cannot be narrowed by its holder: ask for a Biscuit, or delegate the grant".to_owned(),
        ));
    }
    let narrowed = narrow(token.expose(), &narrowing(options)).map_err(|error| {
        let hint = match error {
            NarrowError::Nothing => ": give --scope, --expires-in, --expires-at, --audience, --ceiling or --to",
            _ => "",
        };
        Failure::Usage(format!("{error}{hint}"))
    })?;
    if let Some(file) = &options.output {
        write(file, &narrowed)?;
        // What was made, without the token: this may be shown to anybody.
        return match output.is_json() {
            true => output.json(&json!({"claims": claims(&narrowed)})),
            false => {
                output.note(&format!("written to {}", file.display()));
                Ok(())
            }
        };
    }
    match output.is_json() {
        true => output.json(&json!({"token": narrowed.expose(), "claims": claims(&narrowed)})),
        false => output.line(narrowed.expose()),
    }
}

fn narrowing(options: &Attenuate) -> Narrowing {
    let expires_at = options
        .expires_in
        .map(|span| SystemClock::new().now().plus(span))
        .or(options.expires_at);
    Narrowing {
        scopes: (!options.scopes.is_empty()).then(|| options.scopes.clone()),
        expires_at: expires_at.map(|at| at.floor_to_second()),
        audience: options.audience.clone(),
        is_for_nobody: false,
        ceilings: options.ceilings.clone(),
        agent_did: options.to.clone(),
    }
}

/// What is left, as everybody can read it in the token.
fn claims(token: &Secret<String>) -> serde_json::Value {
    read_unverified(token.expose()).map_or_else(|| json!({}), |chain| chain.claims().into())
}

/// A token is as good as a password: the file is its owner's, and one that exists is not given away with the rights that it has.
fn write(file: &Path, token: &Secret<String>) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let mut opened = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(|error| Failure::Usage(format!("{} cannot be made: {error}", file.display())))?;
    opened
        .write_all(token.expose().as_bytes())
        .and_then(|()| opened.write_all(b"\n"))
        .map_err(Failure::of("writing the token"))
}
