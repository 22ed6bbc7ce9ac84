//! Tokens and keys, read from files and standard input: what stands on a command line, every user of the machine can see.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;

use grantex_core::secret::Secret;
use grantex_core::token::jwt::MAX_TOKEN_LENGTH;

use crate::error::Failure;
use crate::output::Output;

/// White space around a token that is read at most.
const MARGIN: usize = 1_024;

/// What a file path never looks like and a token always does.
const SHORTEST_TOKEN: usize = 100;

/// Reads a token from a file, or from standard input where none is named.
pub fn token(file: Option<&str>, output: &Output) -> Result<Secret<String>, Failure> {
    let text = match file {
        None | Some("-") => {
            if io::stdin().is_terminal() {
                output.note("Paste the token, then press Enter and Ctrl-D.");
            }
            read(io::stdin().lock(), MAX_TOKEN_LENGTH + MARGIN)?
        }
        Some(path) if looks_like_a_token(path) => {
            return Err(Failure::Usage(
                "a token does not belong on the command line, where every user of this machine can see it and the shell's history \
                 keeps it: give the name of a file, or pipe it in. Consider this one seen"
                    .to_owned(),
            ));
        }
        Some(path) => file_text(Path::new(path), MAX_TOKEN_LENGTH + MARGIN)?,
    };
    trimmed(&text).ok_or_else(|| Failure::Usage("there is no token in the input".to_owned()))
}

/// Reads an API key from a file.
pub fn key(path: &Path) -> Result<Secret<String>, Failure> {
    trimmed(&file_text(path, 4_096)?).ok_or_else(|| Failure::Usage(format!("{} holds no API key", path.display())))
}

fn looks_like_a_token(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
    text.len() >= SHORTEST_TOKEN && text.chars().all(is_plain) && !Path::new(text).exists()
}

fn trimmed(text: &Secret<String>) -> Option<Secret<String>> {
    let text = text.expose().trim();
    (!text.is_empty()).then(|| Secret::new(text.to_owned()))
}

fn file_text(path: &Path, longest: usize) -> Result<Secret<String>, Failure> {
    let file =
        File::open(path).map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", path.display())))?;
    read(file, longest)
}

fn read(source: impl Read, longest: usize) -> Result<Secret<String>, Failure> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
    source
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(Failure::of("reading the input"))?;
    if bytes.len() > longest {
        return Err(Failure::Usage(format!("the input is longer than {longest} bytes")));
    }
    String::from_utf8(bytes)
        .map(Secret::new)
        .map_err(|_| Failure::Usage("the input is not text".to_owned()))
}
