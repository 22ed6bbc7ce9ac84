//! Gauges, set from what the store and the keys say.

use grantex_core::error::StoreError;
use grantex_core::store::KeyState;
use grantex_core::token::biscuit;
use grantex_metrics::{Metrics, Pool, PoolState, SigningKeyState};
use grantex_store::Stats;

use crate::app::Assembly;

/// Sets the state of the pools and of the write queue.
pub fn pools(metrics: &Metrics, stats: &Stats) {
    for stats in &stats.pools {
        let Some(pool) = Pool::parse(stats.pool) else { continue };
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let state = PoolState {
            connections: number(stats.open),
            in_use: number(stats.in_use),
            waiting: number(stats.waiting),
        };
        metrics.set_pool(pool, state);
    }
    metrics.set_write_queue_depth(stats.write_queue);
}

/// Sets how many keys are signing, waiting to sign, and only published. Root keys of Biscuits are left out: a root key that signs must
/// not hide that no other key does.
pub async fn signing_keys(metrics: &Metrics, assembly: &Assembly) -> Result<(), StoreError> {
    let stored = assembly.keys.list().await?;
    let ring = assembly.grantex.keys();
    let now = assembly.clock.now();
    let (mut signing, mut pending, mut published) = (0, 0, 0);
    for key in stored.iter().filter(|key| key.algorithm != biscuit::ALGORITHM) {
        let signs = key.kid == ring.token_signer().key_id() || key.kid == ring.session_signer().key_id();
        if signs {
            signing += 1;
        } else if key.state == KeyState::Active && key.activates_at > now {
            pending += 1;
        } else {
            published += 1;
        }
    }
    metrics.set_signing_keys(SigningKeyState::Signing, signing);
    metrics.set_signing_keys(SigningKeyState::Pending, pending);
    metrics.set_signing_keys(SigningKeyState::Published, published);
    Ok(())
}
