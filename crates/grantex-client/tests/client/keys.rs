//! When keys are fetched.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grantex_client::{Requirements, SetupError, Verifier, VerifyError};
use grantex_core::clock::Lifetime;
use grantex_core::testing::ManualClock;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::service::{Reply, Service, json as answer, text};
use crate::support::{BISCUIT_KEYS, ISSUER, ISSUING, JWKS, OTHER, publishing, verifier};

/// A service whose key set and status a test changes.
struct Changing {
    service: Service,
    keys: Arc<Mutex<Value>>,
    status: Arc<AtomicU16>,
}

impl Changing {
    async fn start() -> Self {
        let keys = Arc::new(Mutex::new(ISSUING.jwks()));
        let status = Arc::new(AtomicU16::new(200));
        let (shown, with) = (Arc::clone(&keys), Arc::clone(&status));
        let service = Service::start(move |_| {
            let reply = answer(with.load(Ordering::SeqCst), &shown.lock().unwrap().clone());
            async move { reply }
        })
        .await;
        Self { service, keys, status }
    }
}

async fn verdict(verifier: &Verifier, token: &str) -> Result<(), VerifyError> {
    verifier.verify(token, &Requirements::new()).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_verifications_fetch_once() {
    let gate = Arc::new(Semaphore::new(0));
    let (flying, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (held, now, peak) = (Arc::clone(&gate), Arc::clone(&flying), Arc::clone(&most));
    let service = Service::start(move |asked| {
        let (held, now, peak) = (Arc::clone(&held), Arc::clone(&now), Arc::clone(&peak));
        async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            held.acquire().await.unwrap().forget();
            now.fetch_sub(1, Ordering::SeqCst);
            ISSUING.published(&asked)
        }
    })
    .await;
    let clock = ManualClock::default();
    let verifier = verifier(&service, &clock, |builder| builder.deadline(Duration::from_secs(60)));
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let verifier = verifier.clone();
            tokio::spawn(async move { verdict(&verifier, &ISSUING.token()).await })
        })
        .collect();
    service.was_asked(JWKS, 1).await;
    // One who goes away does not make the others begin again.
    tasks[0].abort();
    gate.add_permits(10);
    for task in tasks {
        assert!(matches!(task.await, Ok(Ok(())) | Err(_)));
    }
    assert_eq!(service.asked(JWKS).len(), 1);
    assert_eq!(service.asked(BISCUIT_KEYS).len(), 0);
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_key_that_nobody_knows_is_looked_for_once_in_a_while() {
    let clock = ManualClock::default();
    let changing = Changing::start().await;
    let verifier = verifier(&changing.service, &clock, |builder| builder);
    assert_eq!(verdict(&verifier, &ISSUING.token()).await, Ok(()));
    for _ in 0..20 {
        assert_eq!(verdict(&verifier, &OTHER.token()).await, Err(VerifyError::Malformed));
    }
    assert_eq!(changing.service.asked(JWKS).len(), 1, "it is cooling down");
    *changing.keys.lock().unwrap() = json!({"keys": [ISSUING.jwks()["keys"][0], OTHER.jwks()["keys"][0]]});
    clock.advance(Lifetime::seconds(10));
    assert_eq!(verdict(&verifier, &OTHER.token()).await, Ok(()));
    assert_eq!(changing.service.asked(JWKS).len(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_takes_its_remembered_tokens_along() {
    let clock = ManualClock::default();
    let changing = Changing::start().await;
    let verifier = verifier(&changing.service, &clock, |builder| builder);
    assert_eq!(verdict(&verifier, &ISSUING.token()).await, Ok(()));
    *changing.keys.lock().unwrap() = OTHER.jwks();
    clock.advance(Lifetime::seconds(299));
    assert_eq!(verdict(&verifier, &ISSUING.token()).await, Ok(()));
    clock.advance(Lifetime::seconds(1));
    assert_eq!(verdict(&verifier, &ISSUING.token()).await, Err(VerifyError::Malformed));
}

#[tokio::test]
async fn another_key_of_the_same_name_is_another_key() {
    let clock = ManualClock::default();
    let changing = Changing::start().await;
    let verifier = verifier(&changing.service, &clock, |builder| builder);
    let token = ISSUING.token();
    assert_eq!(verdict(&verifier, &token).await, Ok(()));
    let mut other = OTHER.jwks();
    other["keys"][0]["kid"] = ISSUING.jwks()["keys"][0]["kid"].clone();
    *changing.keys.lock().unwrap() = other;
    clock.advance(Lifetime::minutes(5));
    assert_eq!(verdict(&verifier, &token).await, Err(VerifyError::Malformed));
}

#[tokio::test]
async fn old_keys_serve_for_an_hour_when_the_issuer_is_down() {
    let clock = ManualClock::default();
    let changing = Changing::start().await;
    let verifier = verifier(&changing.service, &clock, |builder| builder);
    let token = ISSUING.token();
    assert_eq!(verdict(&verifier, &token).await, Ok(()));
    changing.status.store(500, Ordering::SeqCst);
    clock.advance(Lifetime::minutes(59));
    assert_eq!(verdict(&verifier, &token).await, Ok(()));
    assert_eq!(
        verdict(&verifier, &OTHER.token()).await,
        Err(VerifyError::KeysUnavailable),
        "an old set cannot say that there is no such key"
    );
    clock.advance(Lifetime::minutes(1));
    assert_eq!(verdict(&verifier, &token).await, Err(VerifyError::KeysUnavailable));
    changing.status.store(200, Ordering::SeqCst);
    clock.advance(Lifetime::seconds(10));
    let fresh = verdict(&verifier, &token).await;
    // An hour has passed: the token is in its leeway still.
    assert_eq!(fresh, Ok(()));
}

#[tokio::test]
async fn what_is_no_key_set_is_none() {
    let big = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(70_000));
    let many = json!({"keys": vec![ISSUING.jwks()["keys"][0].clone(); 129]}).to_string();
    for body in ["", "[]", "{}", r#"{"keys":7}"#, big.as_str(), many.as_str()] {
        let body = body.to_owned();
        let service = Service::start(move |_| {
            let reply = text(200, &body);
            async move { reply }
        })
        .await;
        let verifier = verifier(&service, &ManualClock::default(), |builder| builder);
        assert_eq!(
            verdict(&verifier, &ISSUING.token()).await,
            Err(VerifyError::KeysUnavailable)
        );
    }
}

#[tokio::test]
async fn redirects_are_not_followed_and_silence_has_an_end() {
    let elsewhere = publishing().await;
    let location = format!("{}{JWKS}", elsewhere.url);
    let service = Service::start(move |_| {
        let headers = vec![("location", location.clone())];
        async move {
            Reply::Whole {
                status: 302,
                headers,
                body: Vec::new(),
            }
        }
    })
    .await;
    let turned = verifier(&service, &ManualClock::default(), |builder| builder);
    assert_eq!(
        verdict(&turned, &ISSUING.token()).await,
        Err(VerifyError::KeysUnavailable)
    );
    assert_eq!(elsewhere.asked(JWKS).len(), 0);

    let service = Service::start(|_| async { Reply::Silence }).await;
    let silent = verifier(&service, &ManualClock::default(), |builder| {
        builder.deadline(Duration::from_millis(50))
    });
    assert_eq!(
        verdict(&silent, &ISSUING.token()).await,
        Err(VerifyError::KeysUnavailable)
    );
}

#[tokio::test]
async fn the_issuer_is_the_address_unless_said_otherwise() {
    let service = publishing().await;
    let verifier = Verifier::builder(format!("{}/", service.url))
        .clock(ManualClock::default())
        .build()
        .unwrap();
    assert_eq!(verdict(&verifier, &ISSUING.token()).await, Err(VerifyError::Malformed));
    let token = ISSUING.sign(&crate::support::claims_with(json!({"iss": service.url})));
    assert_eq!(verdict(&verifier, &token).await, Ok(()));
    assert_ne!(service.url, ISSUER);
    assert!(matches!(
        Verifier::builder("http://auth.example").build(),
        Err(SetupError::Insecure)
    ));
    let long = Verifier::builder("https://auth.example")
        .leeway(Duration::from_secs(601))
        .build();
    assert!(matches!(long, Err(SetupError::Setting(_))));
}
