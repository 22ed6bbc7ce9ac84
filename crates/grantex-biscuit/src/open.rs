//! From a token's text to a chain whose every signature is good.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use biscuit_auth::PublicKey;
use biscuit_auth::error::Format;
use biscuit_auth::format::SerializedBiscuit;
use biscuit_auth::format::schema::{self, public_key};
use grantex_core::secret::hex;
use grantex_core::token::biscuit::{Block, Chain, REVOCATION_ID_LENGTH};
use grantex_core::token::jwt::MAX_TOKEN_LENGTH;
use prost_biscuit::Message as _;

use crate::outline;
use crate::read::{Symbols, narrowing, root};

/// A token that was measured and decoded, and not verified.
pub(crate) struct Parsed {
    bytes: Vec<u8>,
    parts: schema::Biscuit,
}

impl Parsed {
    /// Measures a token, then decodes its outermost message.
    pub(crate) fn of(token: &str) -> Option<Self> {
        if token.len() > MAX_TOKEN_LENGTH {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).ok()?;
        if !outline::is_bounded(&bytes) {
            return None;
        }
        let parts = schema::Biscuit::decode(&*bytes).ok()?;
        let are_plain = std::iter::once(&parts.authority).chain(&parts.blocks).all(is_plain);
        are_plain.then_some(Self { bytes, parts })
    }

    /// The number of the root key.
    pub(crate) fn key_number(&self) -> Option<u32> {
        self.parts.root_key_id
    }

    /// Whether every signature is good, the first one by this key.
    pub(crate) fn is_signed_by(&self, key: PublicKey) -> bool {
        let choose = |_: Option<u32>| Ok::<_, Format>(key);
        SerializedBiscuit::from_slice(&self.bytes, choose).is_ok()
    }

    /// What the blocks say.
    pub(crate) fn chain(&self) -> Option<Chain> {
        chain(&self.parts)
    }
}

/// Whether a block is signed by the holder alone, and with Ed25519: signatures of P-256 can be turned into others that are
/// good as well, and a block that was revoked by its signature would return under another.
fn is_plain(block: &schema::SignedBlock) -> bool {
    block.external_signature.is_none()
        && block.next_key.algorithm == public_key::Algorithm::Ed25519 as i32
        && block.signature.len() * 2 == REVOCATION_ID_LENGTH
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
