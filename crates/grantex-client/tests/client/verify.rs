//! Which tokens are accepted, and for what.

use grantex_client::{Attenuate, Requirements, TokenFormat, VerifyError};
use grantex_core::clock::{Clock as _, Lifetime};
use grantex_core::testing::ManualClock;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{ISSUER, ISSUING, JWKS, OTHER, claims, claims_with, id, publishing, root, verifier};

async fn verdict(token: &str, needs: Requirements) -> Result<(), VerifyError> {
    let service = publishing().await;
    let verifier = verifier(&service, &ManualClock::default(), |builder| builder);
    verifier.verify(token, &needs).await.map(|_| ())
}

#[tokio::test]
async fn both_formats_say_the_same() {
    let service = publishing().await;
    let verifier = verifier(&service, &ManualClock::default(), |builder| builder);
    for (token, format) in [
        (ISSUING.token(), TokenFormat::Jwt),
        (ISSUING.biscuit(), TokenFormat::Biscuit),
    ] {
        // The second time from memory.
        for _ in 0..2 {
            let found = verifier
                .verify(&token, &Requirements::new().scope("read"))
                .await
                .unwrap();
            assert_eq!(found.format(), format);
            assert_eq!(found.grant_id(), id("grnt", 1));
            assert_eq!(found.token_id(), id("tok", 1));
            assert_eq!(found.developer_id(), id("dev", 1));
            assert_eq!(found.principal_id(), "user-1");
            assert_eq!(found.agent_did(), format!("did:grantex:{}", id("ag", 1)));
            assert_eq!(found.scopes(), ["read", "payments:initiate:max_500"]);
            assert_eq!(
                (found.audience(), found.parent_grant_id(), found.delegation_depth()),
                (None, None, 0)
            );
            assert_eq!(found.expires_at(), root().expires_at);
        }
    }
}

#[tokio::test]
async fn clocks_may_be_a_minute_apart() {
    let service = publishing().await;
    for token in [ISSUING.token(), ISSUING.biscuit()] {
        let clock = ManualClock::at(ManualClock::START.floor_to_second());
        let verifier = verifier(&service, &clock, |builder| builder);
        let judged = |at: i64| {
            clock.set(ManualClock::START.floor_to_second().plus(Lifetime::seconds(at)));
            let (verifier, token) = (verifier.clone(), token.clone());
            async move { verifier.verify(&token, &Requirements::new()).await.err() }
        };
        assert_eq!(judged(-60).await, None);
        assert_eq!(judged(-61).await, Some(VerifyError::NotYetValid));
        assert_eq!(judged(3_600 + 59).await, None);
        assert_eq!(
            judged(3_600 + 60).await,
            Some(VerifyError::Expired),
            "also of a token that is remembered"
        );
        assert_eq!(judged(0).await, None);
    }
}

#[tokio::test]
async fn tokens_of_other_kinds_and_issuers_are_none() {
    let payload = claims().to_string();
    let unsigned = |header: Value| {
        use base64_of::encode;
        format!("{}.{}.{}", encode(&header.to_string()), encode(&payload), encode("x"))
    };
    let token = ISSUING.token();
    let (rest, _) = token.rsplit_once('.').unwrap();
    let kid = ISSUING.jwks()["keys"][0]["kid"].clone();
    let now = ManualClock::START.as_seconds();
    let table = vec![
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
        ("four parts", format!("{token}.x")),
        ("no signature", format!("{rest}.")),
        ("none", unsigned(json!({"alg": "none", "kid": kid}))),
        ("HS256", unsigned(json!({"alg": "HS256", "kid": kid}))),
        (
            "another algorithm of the key",
            unsigned(json!({"alg": "RS256", "kid": kid, "typ": "at+jwt"})),
        ),
        ("crit", unsigned(json!({"alg": "ES256", "kid": kid, "crit": ["x"]}))),
        ("no kid", unsigned(json!({"alg": "ES256"}))),
        ("another key", OTHER.token()),
        ("another type", ISSUING.sign_as("JWT", &claims())),
        (
            "another issuer",
            ISSUING.sign(&claims_with(json!({"iss": "https://auth.example/"}))),
        ),
        ("no grant", ISSUING.sign(&claims_with(json!({"grnt": null})))),
        ("scopes as text", ISSUING.sign(&claims_with(json!({"scp": "read"})))),
        (
            "several audiences",
            ISSUING.sign(&claims_with(json!({"aud": ["a", "b"]}))),
        ),
        (
            "an end as text",
            ISSUING.sign(&claims_with(json!({"exp": (now + 60).to_string()}))),
        ),
        ("nbf as text", ISSUING.sign(&claims_with(json!({"nbf": "x"})))),
        ("another key's Biscuit", OTHER.biscuit()),
        ("half a Biscuit", ISSUING.biscuit()[..40].to_owned()),
    ];
    for (what, token) in table {
        assert_eq!(
            verdict(&token, Requirements::new()).await,
            Err(VerifyError::Malformed),
            "{what}"
        );
    }
    let later = ISSUING.sign(&claims_with(json!({"nbf": now + 62})));
    assert_eq!(
        verdict(&later, Requirements::new()).await,
        Err(VerifyError::NotYetValid)
    );
    let mut elsewhere = root();
    elsewhere.issuer = "https://other.example".to_owned();
    let token = ISSUING.biscuits.mint(&elsewhere).unwrap();
    assert_eq!(
        verdict(token.expose(), Requirements::new()).await,
        Err(VerifyError::Malformed)
    );
}

/// Unpadded base64url, so that tests need no other crate for it.
mod base64_of {
    pub fn encode(text: &str) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut encoded = String::new();
        for chunk in text.as_bytes().chunks(3) {
            let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            for place in 0..=chunk.len() {
                encoded.push(char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]));
            }
        }
        encoded
    }
}

#[tokio::test]
async fn audiences_must_be_the_same() {
    let (bound, free) = (
        ISSUING.sign(&claims_with(json!({"aud": "https://api.example"}))),
        ISSUING.token(),
    );
    let service = publishing().await;
    let clock = ManualClock::default();
    let nobody = verifier(&service, &clock, |builder| builder);
    let us = verifier(&service, &clock, |builder| builder.audience("https://api.example"));
    let any = Requirements::new();
    assert!(us.verify(&bound, &any).await.is_ok());
    assert_eq!(us.verify(&free, &any).await.err(), Some(VerifyError::Audience));
    assert!(nobody.verify(&free, &any).await.is_ok());
    assert_eq!(nobody.verify(&bound, &any).await.err(), Some(VerifyError::Audience));
    let asked = any.clone().audience("https://api.example");
    let authorized = nobody.verify(&bound, &asked).await.unwrap();
    assert_eq!(authorized.audience(), Some("https://api.example"));
    let other = any.audience("https://other.example");
    assert_eq!(us.verify(&bound, &other).await.err(), Some(VerifyError::Audience));
    assert_eq!(us.allows(&authorized, &other), Err(VerifyError::Audience));
}

#[tokio::test]
async fn a_token_must_allow_what_the_call_needs() {
    let needs = Requirements::new;
    let did = format!("did:grantex:{}", id("ag", 1));
    let scope = |name: &str| Err(VerifyError::Scope(name.to_owned()));
    let table = [
        (needs().scopes(["read"]), Ok(())),
        (needs().scope("write"), scope("write")),
        (needs().scopes(["read", "write"]), scope("write")),
        (needs().scope("payments:initiate:max_100"), Ok(())),
        (needs().scope("payments:initiate"), scope("payments:initiate")),
        (needs().scope_up_to("payments:initiate", 500), Ok(())),
        (
            needs().scope_up_to("payments:initiate", 501),
            scope("payments:initiate"),
        ),
        (needs().agent(&did).developer(id("dev", 1)), Ok(())),
        (needs().agent("did:web:x"), Err(VerifyError::Agent)),
        (needs().developer(id("dev", 2)), Err(VerifyError::Developer)),
        (needs().spends(u64::MAX, "EUR"), Ok(())),
    ];
    for token in [ISSUING.token(), ISSUING.biscuit()] {
        for (needs, expected) in &table {
            assert_eq!(&verdict(&token, needs.clone()).await, expected, "{needs:?}");
        }
    }
}

#[tokio::test]
async fn a_biscuit_allows_what_is_left_after_all_blocks() {
    let clock = ManualClock::default();
    let service = publishing().await;
    let verifier = verifier(&service, &clock, |builder| builder);
    let narrowed = Attenuate::new(&ISSUING.biscuit())
        .unwrap()
        .scopes(["read"])
        .expires_at(clock.now().plus(Lifetime::minutes(5)))
        .ceiling(5_000, "EUR")
        .audience("https://api.example")
        .hand_to("did:web:sub.example")
        .build()
        .unwrap();
    let needs = Requirements::new().audience("https://api.example");
    let found = verifier.verify(narrowed.expose(), &needs).await.unwrap();
    assert_eq!(
        (found.scopes(), found.agent_did()),
        (&["read".to_owned()][..], "did:web:sub.example")
    );
    assert_eq!((found.delegation_depth(), found.ceilings().len()), (1, 1));
    for (spends, expected) in [
        (needs.clone().spends(5_000, "EUR"), Ok(())),
        (needs.clone().spends(5_001, "EUR"), Err(VerifyError::Ceiling)),
        (needs.clone().spends(1, "USD"), Err(VerifyError::Ceiling)),
        (
            needs.clone().scope("payments:initiate:max_500"),
            Err(VerifyError::Scope("payments:initiate:max_500".to_owned())),
        ),
        (needs.clone().agent("did:web:sub.example"), Ok(())),
    ] {
        assert_eq!(verifier.allows(&found, &spends), expected, "{spends:?}");
    }
    clock.advance(Lifetime::minutes(6));
    assert_eq!(
        verifier.verify(narrowed.expose(), &needs).await.err(),
        Some(VerifyError::Expired)
    );
}

#[tokio::test]
async fn a_biscuit_for_two_audiences_is_for_nobody() {
    let token = ISSUING.biscuit();
    let mut twice = token;
    for audience in ["https://a.example", "https://b.example"] {
        let block = biscuit_block(audience);
        twice = append(&twice, &block);
    }
    for audience in ["https://a.example", "https://b.example"] {
        assert_eq!(
            verdict(&twice, Requirements::new().audience(audience)).await,
            Err(VerifyError::Audience)
        );
    }
}

fn biscuit_block(audience: &str) -> grantex_core::token::biscuit::Narrowing {
    grantex_core::token::biscuit::Narrowing {
        audience: Some(audience.to_owned()),
        ..Default::default()
    }
}

/// Appends what the checked way refuses, by the way of a holder who does not mind.
fn append(token: &str, by: &grantex_core::token::biscuit::Narrowing) -> String {
    let audience = by.audience.as_deref().unwrap();
    let block = biscuit_auth::BlockBuilder::new()
        .code(format!("check if audience({audience:?});"))
        .unwrap();
    let token = biscuit_auth::UnverifiedBiscuit::from_base64(token).unwrap();
    token.append(block).unwrap().to_base64().unwrap()
}

#[tokio::test]
async fn errors_do_not_hold_the_token() {
    let service = publishing().await;
    let verifier = verifier(&service, &ManualClock::default(), |builder| builder);
    let token = ISSUING.sign(&claims_with(json!({"iss": "canary"})));
    let error = verifier.verify(&token, &Requirements::new()).await.unwrap_err();
    for shown in [format!("{error}"), format!("{error:?}")] {
        assert!(!shown.contains("canary") && !shown.contains(&token[..20]), "{shown}");
    }
    assert_eq!(service.asked(JWKS).len(), 1);
    assert_eq!(ISSUER, "https://auth.example");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_is_taken_for_a_token(text in "[A-Za-z0-9_.=-]{0,80}", header in any::<[u8; 24]>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let service = publishing().await;
    let verifier = verifier(&service, &ManualClock::default(), |builder| builder);
            let odd = format!("{}.{}.{}", base64_of::encode(&String::from_utf8_lossy(&header)), text.replace('.', ""), "AAAA");
            for token in [&text, &odd] {
                assert_eq!(verifier.verify(token, &Requirements::new()).await.err(), Some(VerifyError::Malformed));
            }
        });
    }
}
