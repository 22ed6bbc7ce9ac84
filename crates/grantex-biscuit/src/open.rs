//! From a token's text to a chain whose every signature is good.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use biscuit_auth::error::Format;
use biscuit_auth::format::SerializedBiscuit;
use biscuit_auth::format::schema::{self, public_key};
use grantex_core::secret::hex;
use grantex_core::token::biscuit::{Block, Chain, REVOCATION_ID_LENGTH};
use grantex_core::token::jwt::MAX_TOKEN_LENGTH;
use prost_biscuit::Message as _;

use crate::read::{Symbols, narrowing, root};
use crate::{Keys, RootKey, outline};

pub(crate) fn open(keys: &Keys, token: &str) -> Option<Chain> {
    if token.len() > MAX_TOKEN_LENGTH {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).ok()?;
    if !outline::is_bounded(&bytes) {
        return None;
    }
    let parts = schema::Biscuit::decode(&*bytes).ok()?;
    let key = keys.all.iter().find(|key| Some(key.number) == parts.root_key_id)?;
    if !std::iter::once(&parts.authority).chain(&parts.blocks).all(is_plain) {
        return None;
    }
    // The key is part of what is remembered: the number that the token holds is shorter than a key's thumbprint.
    let remembered = format!("{} {token}", key.kid);
    if !keys.verified.check(&remembered, || is_authentic(key, &bytes)) {
        return None;
    }
    chain(&parts)
}

/// Whether a block is signed by the holder alone, and with Ed25519: signatures of P-256 can be turned into others that are
/// good as well, and a block that was revoked by its signature would return under another.
fn is_plain(block: &schema::SignedBlock) -> bool {
    block.external_signature.is_none()
        && block.next_key.algorithm == public_key::Algorithm::Ed25519 as i32
        && block.signature.len() * 2 == REVOCATION_ID_LENGTH
}

fn is_authentic(key: &RootKey, bytes: &[u8]) -> bool {
    let choose = |_: Option<u32>| Ok::<_, Format>(key.public);
    SerializedBiscuit::from_slice(bytes, choose).is_ok()
}

fn chain(parts: &schema::Biscuit) -> Option<Chain> {
    let first = schema::Block::decode(&*parts.authority.block).ok()?;
    let mut symbols = Symbols::default();
    symbols.extend(&first)?;
    let root = root(&first, &symbols)?;
    let mut blocks = Vec::with_capacity(parts.blocks.len());
    for signed in &parts.blocks {
        let block = schema::Block::decode(&*signed.block).ok()?;
        symbols.extend(&block)?;
        blocks.push(Block {
            revocation_id: hex(&signed.signature),
            narrowing: narrowing(&block, &symbols)?,
        });
    }
    Some(Chain {
        root,
        root_revocation_id: hex(&parts.authority.signature),
        blocks,
    })
}
