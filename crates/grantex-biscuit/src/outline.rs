//! The outline of a token: how many blocks there are and how long they are, read without decoding any.
//!
//! Decoding costs memory for whatever the bytes claim to hold, so this comes first: one walk over the outermost fields of
//! Biscuit's protocol buffer, in constant memory.

/// Blocks after the first at most.
pub const MAX_BLOCKS: usize = 16;
/// Bytes of all blocks after the first at most, with their keys and signatures.
pub const MAX_ADDED: usize = 16 * 1024;

/// Fields of the outermost message (`format/schema.proto` of Biscuit's specification).
const ROOT_KEY_ID: u64 = 1;
const AUTHORITY: u64 = 2;
const BLOCKS: u64 = 3;
const PROOF: u64 = 4;

/// How wire types say what follows (Protocol Buffers, encoding).
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

/// Whether a token keeps to the limits: one first block, one proof, at most one key number, and not too much after it.
pub fn is_bounded(mut bytes: &[u8]) -> bool {
    let (mut ids, mut authorities, mut proofs, mut blocks, mut added) = (0, 0, 0, 0, 0_usize);
    while !bytes.is_empty() {
        let Some(key) = varint(&mut bytes) else { return false };
        let counted = match (key >> 3, key & 7) {
            (ROOT_KEY_ID, VARINT) => {
                ids += 1;
                varint(&mut bytes).map(|_| ())
            }
            (AUTHORITY, LENGTH_DELIMITED) => {
                authorities += 1;
                skip(&mut bytes).map(|_| ())
            }
            (PROOF, LENGTH_DELIMITED) => {
                proofs += 1;
                skip(&mut bytes).filter(|length| *length <= MAX_ADDED).map(|_| ())
            }
            (BLOCKS, LENGTH_DELIMITED) => {
                blocks += 1;
                skip(&mut bytes).map(|length| added = added.saturating_add(length))
            }
            _ => None,
        };
        if counted.is_none() || blocks > MAX_BLOCKS || added > MAX_ADDED {
            return false;
        }
    }
    ids <= 1 && authorities == 1 && proofs == 1
}

/// Skips a field with a length in front, and tells it.
fn skip(bytes: &mut &[u8]) -> Option<usize> {
    let length = usize::try_from(varint(bytes)?).ok()?;
    *bytes = bytes.get(length..)?;
    Some(length)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
