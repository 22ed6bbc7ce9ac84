//! Servers of one database tell each other of new events.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use grantex_core::id::DeveloperId;
use grantex_core::testing::fixtures::Fixtures;
use grantex_store::{AnyStore, Heard, Herald, Options};
use support::{Databases, disconnect_all, execute};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn events(events: Vec<(DeveloperId, i64)>) -> Heard {
    Heard::News {
        events,
        revocations: Vec::new(),
    }
}

struct Ear {
    herald: Herald,
    heard: UnboundedReceiver<Heard>,
}

impl Ear {
    /// A herald that listens already.
    async fn of(store: &AnyStore) -> Self {
        let (tell, heard) = unbounded_channel();
        let herald = store.herald(Arc::new(move |what| drop(tell.send(what)))).unwrap();
        let mut ear = Self { herald, heard };
        assert_eq!(ear.next().await, Heard::AnyNews, "nobody knows what was told before");
        ear
    }

    async fn next(&mut self) -> Heard {
        timeout(PATIENCE, self.heard.recv())
            .await
            .expect("something is heard")
            .unwrap()
    }

    /// Listens until all of these were heard; how many notifications that took.
    async fn hear(&mut self, mut expected: BTreeMap<DeveloperId, i64>) -> usize {
        let mut count = 0;
        while !expected.is_empty() {
            let Heard::News { events: news, .. } = self.next().await else {
                return count + 1;
            };
            count += 1;
            for (developer, newest) in news {
                if expected.get(&developer) == Some(&newest) {
                    expected.remove(&developer);
                }
            }
        }
        count
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_server_hears_and_the_teller_does_not() {
    let databases = Databases::postgres().await;
    let [one, two] = databases.replicas().await;
    let (mut first, mut second) = (Ear::of(&one).await, Ear::of(&two).await);
    let (ours, theirs) = (
        Fixtures::new(1).id::<DeveloperId>(),
        Fixtures::new(2).id::<DeveloperId>(),
    );
    first.herald.announce(&ours, 7);
    assert_eq!(second.next().await, events(vec![(ours, 7)]));
    // What the first one hears first is what it did not say itself.
    second.herald.announce(&theirs, 8);
    assert_eq!(first.next().await, events(vec![(theirs.clone(), 8)]));
    first.herald.announce_revocations(&theirs, 3);
    let news = Heard::News {
        events: Vec::new(),
        revocations: vec![(theirs, 3)],
    };
    assert_eq!(second.next().await, news);
    drop((first, second, one, two));
    databases.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_told_in_few_words() {
    let databases = Databases::postgres().await;
    let [one, two] = databases.replicas().await;
    let (first, mut second) = (Ear::of(&one).await, Ear::of(&two).await);
    let fixtures = Fixtures::new(3);
    let developers: Vec<DeveloperId> = (0..20).map(|_| fixtures.id()).collect();
    for newest in 1..=1_000 {
        developers
            .iter()
            .for_each(|developer| first.herald.announce(developer, newest));
    }
    let count = second
        .hear(developers.into_iter().map(|developer| (developer, 1_000)).collect())
        .await;
    assert!(count <= 100, "20,000 announcements became {count} notifications");

    (0..10_000).for_each(|_| first.herald.announce(&fixtures.id(), 1));
    while second.next().await != Heard::AnyNews {}
    drop((first, second, one, two));
    databases.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_opened_again() {
    let databases = Databases::postgres().await;
    let url = databases.url().await;
    let open = || grantex_store::open(&url, Options::default());
    let (one, two) = (open().await.unwrap(), open().await.unwrap());
    let (mut first, mut second) = (Ear::of(&one).await, Ear::of(&two).await);
    disconnect_all(&url).await;
    assert_eq!(first.next().await, Heard::AnyNews);
    assert_eq!(second.next().await, Heard::AnyNews);
    let developer = Fixtures::new(4).id::<DeveloperId>();
    first.herald.announce(&developer, 1);
    second.hear(BTreeMap::from([(developer.clone(), 1)])).await;

    // Anybody who may connect may say anything.
    execute(
        &url,
        "SELECT pg_notify('grantex_events', 'x'), pg_notify('grantex_events', '')",
    )
    .await;
    first.herald.announce(&developer, 2);
    assert_eq!(second.next().await, events(vec![(developer, 2)]));
    drop((first, second, one, two));
    databases.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_has_nobody_to_tell() {
    let databases = Databases::sqlite();
    let store = databases.store().await;
    assert!(store.herald(Arc::new(|_| {})).is_none());
    drop(store);
    databases.remove().await;
}
