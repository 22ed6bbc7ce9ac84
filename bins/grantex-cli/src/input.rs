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

/// What every API key begins with.
const KEY: &str = "gx_";

/// What is said of a secret on the command line.
pub const MISPLACED: &str = "a token or an API key does not belong on the command line, where every user of this machine can see it and the \
     shell's history keeps it: give the name of a file, or pipe it in. Consider this one seen";

/// Reads a token from a file, or from standard input where none is named.
pub fn token(file: Option<&str>, output: &Output) -> Result<Secret<String>, Failure> {
    let text = match file {
        None | Some("-") => {
            if io::stdin().is_terminal() {
                output.note("Paste the token, then press Enter and Ctrl-D.");
            }
            read(io::stdin().lock(), MAX_TOKEN_LENGTH + MARGIN)?
        }
        Some(path) if looks_like_a_secret(path) => return Err(Failure::Usage(MISPLACED.to_owned())),
        Some(path) => file_text(Path::new(path), MAX_TOKEN_LENGTH + MARGIN)?,
    };
    trimmed(&text).ok_or_else(|| Failure::Usage("there is no token in the input".to_owned()))
}

/// Reads an API key from a file.
pub fn key(path: &Path) -> Result<Secret<String>, Failure> {
    if looks_like_a_secret(&path.to_string_lossy()) {
        return Err(Failure::Usage(
            "GRANTEX_API_KEY_FILE is the name of a file, not the key. Consider this key seen".to_owned(),
        ));
    }
    trimmed(&file_text(path, 4_096)?).ok_or_else(|| Failure::Usage(format!("{} holds no API key", path.display())))
}

/// The name of a file, which is repeated when something is wrong with it; refused when it is a token or an API key instead.
pub fn named(path: &Path) -> Result<&Path, Failure> {
    match looks_like_a_secret(&path.to_string_lossy()) {
        true => Err(Failure::Usage(MISPLACED.to_owned())),
        false => Ok(path),
    }
}

/// Whether a text has a token or an API key among its words, so that it must not be repeated.
pub fn holds_a_secret(text: &str) -> bool {
    text.split(|c: char| !is_plain(c))
        .any(|word| word.len() >= SHORTEST_TOKEN || word.contains(KEY))
}

/// Whether what should be the name of a file is a token or an API key.
fn looks_like_a_secret(text: &str) -> bool {
    let bare = text.trim();
    let bare = match bare.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim_start(),
        _ => bare,
    };
    let is_token = bare.len() >= SHORTEST_TOKEN && bare.chars().all(is_plain);
    (is_token || bare.starts_with(KEY)) && !Path::new(text).exists()
}

const fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=')
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
