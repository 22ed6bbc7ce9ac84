//! The store in memory does as the ports say.

use grantex_core::testing::{MemoryStore, conformance};

#[tokio::test]
async fn the_memory_store_conforms() {
    conformance::run(async || MemoryStore::new()).await;
}
