//! Asking for each call.

use std::sync::Arc;
use std::time::Duration;

use grantex_client::{Attenuate, OnlineCheck, Requirements, Verifier, VerifyError};
use grantex_core::testing::ManualClock;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::service::{Reply, Service, json as answer, text};
use crate::support::{ISSUING, checked, id, key};

const STATUS: &str = "/v1/revocations/status";
const VERIFY: &str = "/v1/grants/verify";

async fn verdict(verifier: &Verifier, token: &str) -> Result<(), VerifyError> {
    verifier.verify(token, &Requirements::new()).await.map(|_| ())
}

/// A service that answers this to every question about tokens.
async fn answering(status: u16, body: Value) -> Service {
    Service::start(move |asked| {
        let reply = match asked.path() {
            STATUS | VERIFY => answer(status, &body),
            _ => ISSUING.published(&asked),
        };
        async move { reply }
    })
    .await
}

fn online(service: &Service) -> Verifier {
    let check = OnlineCheck::builder(&service.url, key()).build().unwrap();
    checked(service, &ManualClock::default(), check)
}

#[tokio::test]
async fn every_answer_has_its_meaning() {
    let unknown = Err(VerifyError::RevocationUnknown);
    for (status, body, expected) in [
        (200, json!({"revoked": false, "status": "active", "more": 1}), Ok(())),
        (200, json!({"revoked": false, "status": "revoked"}), unknown.clone()),
        (200, json!({"revoked": false}), unknown.clone()),
        (200, json!({"revoked": 0, "status": "active"}), unknown.clone()),
        (200, json!([false, "active"]), unknown.clone()),
        (
            200,
            json!({"revoked": true, "status": "suspended"}),
            Err(VerifyError::Suspended),
        ),
        (
            200,
            json!({"revoked": true, "status": "unknown"}),
            Err(VerifyError::NotKnown),
        ),
        (
            200,
            json!({"revoked": true, "status": "expired"}),
            Err(VerifyError::Expired),
        ),
        (200, json!({"revoked": true}), Err(VerifyError::Revoked)),
        (204, json!(null), unknown.clone()),
        (304, json!({"revoked": false, "status": "active"}), unknown.clone()),
        (401, json!({}), unknown.clone()),
        (503, json!({}), unknown.clone()),
    ] {
        let service = answering(status, body.clone()).await;
        assert_eq!(
            verdict(&online(&service), &ISSUING.token()).await,
            expected,
            "{status} {body}"
        );
        let asked = service.asked(STATUS);
        assert_eq!(
            asked[0].target,
            format!("{STATUS}?grantId={}&jti={}", id("grnt", 1), id("tok", 1))
        );
        assert_eq!(asked[0].headers["authorization"], "Bearer gx_test_canary");
    }
}

#[tokio::test]
async fn a_biscuit_is_asked_about_with_its_blocks() {
    let token = Attenuate::new(&ISSUING.biscuit())
        .unwrap()
        .scopes(["read"])
        .build()
        .unwrap();
    for (status, body, expected) in [
        (200, json!({"active": true, "claims": {}}), Ok(())),
        (
            200,
            json!({"active": false, "reason": "revoked"}),
            Err(VerifyError::Revoked),
        ),
        (
            200,
            json!({"active": false, "reason": "suspended"}),
            Err(VerifyError::Suspended),
        ),
        (
            200,
            json!({"active": false, "reason": "not_found"}),
            Err(VerifyError::NotKnown),
        ),
        (200, json!({"active": "yes"}), Err(VerifyError::RevocationUnknown)),
        (400, json!({}), Err(VerifyError::Malformed)),
        (500, json!({}), Err(VerifyError::RevocationUnknown)),
    ] {
        let service = answering(status, body.clone()).await;
        assert_eq!(
            verdict(&online(&service), token.expose()).await,
            expected,
            "{status} {body}"
        );
        assert_eq!(service.asked(VERIFY)[0].json(), json!({"token": token.expose()}));
    }
}

#[tokio::test]
async fn the_same_question_is_asked_once_at_a_time() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let service = Service::start(move |asked| {
        let held = Arc::clone(&held);
        async move {
            if asked.path() != STATUS {
                return ISSUING.published(&asked);
            }
            held.acquire().await.unwrap().forget();
            answer(200, &json!({"revoked": false, "status": "active"}))
        }
    })
    .await;
    let check = OnlineCheck::builder(&service.url, key())
        .deadline(Duration::from_secs(60))
        .build()
        .unwrap();
    let verifier = checked(&service, &ManualClock::default(), check);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let verifier = verifier.clone();
            tokio::spawn(async move { verdict(&verifier, &ISSUING.token()).await })
        })
        .collect();
    service.was_asked(STATUS, 1).await;
    // On one thread, all of the tasks have run until they wait; then the next question is a new one.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    assert_eq!(service.asked(STATUS).len(), 1);
    gate.add_permits(1);
    assert_eq!(verdict(&verifier, &ISSUING.token()).await, Ok(()));
    assert_eq!(service.asked(STATUS).len(), 2);
}

#[tokio::test]
async fn silence_is_no_answer_unless_that_was_chosen() {
    let service = Service::start(|asked| async move {
        if asked.path() == STATUS {
            Reply::Silence
        } else {
            ISSUING.published(&asked)
        }
    })
    .await;
    let builder = || OnlineCheck::builder(&service.url, key()).deadline(Duration::from_millis(50));
    let closed = checked(&service, &ManualClock::default(), builder().build().unwrap());
    assert_eq!(
        verdict(&closed, &ISSUING.token()).await,
        Err(VerifyError::RevocationUnknown)
    );
    let open = checked(
        &service,
        &ManualClock::default(),
        builder().fail_open().build().unwrap(),
    );
    assert_eq!(verdict(&open, &ISSUING.token()).await, Ok(()));
    let gone = Service::start(|_| async { text(500, "") }).await;
    assert_eq!(
        verdict(&online(&gone), &ISSUING.token()).await,
        Err(VerifyError::KeysUnavailable)
    );
}
