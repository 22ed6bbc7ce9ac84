//! Both stores do as the ports say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use grantex_core::testing::conformance;
use support::Databases;

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_conforms() {
    let databases = Databases::sqlite();
    conformance::run(async || databases.store().await).await;
    databases.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_conforms() {
    let databases = Databases::postgres().await;
    conformance::run(async || databases.store().await).await;
    databases.remove().await;
}
