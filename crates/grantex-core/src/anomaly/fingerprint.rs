//! What stands for a text in an activity: 64 bits of its SHA-256. A weaker hash would let a client choose texts that pass for
//! known ones.

use sha2::{Digest as _, Sha256};

/// The fingerprint of a text.
pub fn fingerprint(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// A shorter fingerprint, where two that fall together only cost one count.
pub fn short_fingerprint(text: &str) -> u32 {
    (fingerprint(text) >> 32) as u32
}
