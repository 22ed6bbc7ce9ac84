//! Randomness that repeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::id::Random;

/// The odd constant by which the state of SplitMix64 grows with every number.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64 from a seed: the same seed gives the same ids and secrets. Clones draw from the same sequence.
///
/// Its state never repeats within 2^64 draws, so neither do ids. It is predictable: for tests only.
#[derive(Debug, Clone)]
pub struct SeededRandom(Arc<AtomicU64>);

impl SeededRandom {
    /// A sequence that depends on nothing but `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.next().to_be_bytes();
            chunk.iter_mut().zip(number).for_each(|(byte, value)| *byte = value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::{GrantId, new_id};

    #[test]
    fn a_seed_gives_the_published_sequence() {
        let random = SeededRandom::new(1_234_567);
        // The reference values of SplitMix64 for this seed.
        assert_eq!(
            [random.next(), random.next(), random.next()],
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn ids_repeat_with_the_seed_and_never_within_it() {
        let ids = |seed| -> Vec<GrantId> {
            let random = SeededRandom::new(seed);
            (0..1_000).map(|_| new_id(&random, Timestamp::from_millis(1))).collect()
        };
        assert_eq!(ids(7), ids(7));
        let mut distinct = ids(7);
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), 1_000);
    }
}
