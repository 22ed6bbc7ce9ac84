//! An answer that does not end, and events to fill it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::HeaderMap;
use grantex_core::context::Admission;
use grantex_core::error::StoreError;
use grantex_core::id::DeveloperId;
use grantex_core::store::{EventRow, Ledger, Store, UnitOptions};
use grantex_core::testing::fixtures::Fixtures;
use serde_json::Value;

use super::{Answer, TestApp};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A stream, as its connection pulls it.
pub struct Opened {
    pub status: u16,
    pub headers: HeaderMap,
    body: Pin<Box<BoxBody>>,
}

impl Opened {
    pub fn of(response: ServiceResponse<BoxBody>) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: Box::pin(response.into_body()),
        }
    }

    /// What comes next; `None` at the end.
    pub async fn next(&mut self) -> Option<String> {
        let next = std::future::poll_fn(|cx| self.body.as_mut().poll_next(cx));
        let bytes = tokio::time::timeout(PATIENCE, next).await.expect("something comes")?;
        Some(String::from_utf8(bytes.unwrap().to_vec()).unwrap())
    }

    /// Whether nothing comes, for a connection that asks now.
    pub fn is_silent(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.body.as_mut().poll_next(&mut cx).is_pending()
    }

    /// The positions of all events that come now, without waiting.
    pub fn seqs_now(&mut self) -> Vec<i64> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut text = String::new();
        // Reading from the store takes another poll.
        for _ in 0..2 {
            while let Poll::Ready(Some(bytes)) = self.body.as_mut().poll_next(&mut cx) {
                text.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
            }
        }
        events(&text).into_iter().map(|(seq, _)| seq).collect()
    }
}

/// The positions and envelopes in a piece of a stream, read as published clients do.
pub fn events(text: &str) -> Vec<(i64, Value)> {
    let (mut found, mut seq) = (Vec::new(), 0);
    for line in text.lines() {
        if let Some(id) = line.strip_prefix("id: ") {
            seq = id.parse().unwrap();
        }
        if let Some(data) = line.strip_prefix("data: ") {
            found.push((seq, serde_json::from_str(data).unwrap()));
        }
    }
    found
}

impl TestApp {
    /// Opens a stream of the live developer that has said where it begins.
    pub async fn open(&self, path: &str) -> Opened {
        let mut opened = self.get(path).key(&self.live).open().await;
        assert_eq!(opened.status, 200);
        assert!(opened.next().await.unwrap().starts_with(": open\nid: "));
        opened
    }

    pub async fn developer_id(&self) -> DeveloperId {
        let me = self.get("/v1/me").key(&self.live).send().await.expect(200);
        DeveloperId::parse(me["developerId"].as_str().unwrap()).unwrap()
    }

    /// Stores events of these types for the live developer, as another server would; returns their envelopes.
    pub async fn append(&self, kinds: &[&'static str]) -> Vec<Value> {
        let id = self.developer_id().await;
        let developer = grantex_core::developer::Developer {
            id: id.clone(),
            ..Fixtures::new(0).developer()
        };
        let options = UnitOptions {
            developer: Some(id.clone()),
            admission: Admission::default(),
        };
        let (kinds, now) = (kinds.to_vec(), grantex_core::clock::Clock::now(&self.clock));
        let written: Result<Vec<EventRow>, StoreError> = self
            .store
            .transact(options, move |tx| {
                Box::pin(async move {
                    let mut head = tx.lock_head(&id).await?.unwrap();
                    let fixtures = Fixtures::new(u64::try_from(head.event_seq).unwrap() + 1);
                    let events: Vec<EventRow> = (head.event_seq + 1..)
                        .zip(kinds)
                        .map(|(seq, kind)| {
                            let event = fixtures.event(&developer, seq);
                            let event_id = grantex_core::id::new_id(fixtures.random(), now);
                            let payload = grantex_core::event::webhook::envelope(
                                &event_id,
                                kind,
                                now,
                                &serde_json::json!({"n": seq}),
                            );
                            EventRow {
                                id: event_id,
                                kind,
                                payload,
                                created_at: now,
                                ..event
                            }
                        })
                        .collect();
                    head.event_seq += i64::try_from(events.len()).unwrap();
                    let ledger = Ledger {
                        developer_id: id,
                        head,
                        grants: vec![],
                        tokens: vec![],
                        audit: vec![],
                        deliveries: vec![],
                        events: events.clone(),
                    };
                    tx.write_ledger(&ledger).await?;
                    Ok(events)
                })
            })
            .await;
        let envelope = |row: &EventRow| serde_json::from_str(&row.payload).unwrap();
        written.unwrap().iter().map(envelope).collect()
    }

    /// The refusal of a stream.
    pub async fn refused(&self, path: &str) -> Answer {
        self.get(path).key(&self.live).send().await
    }
}
