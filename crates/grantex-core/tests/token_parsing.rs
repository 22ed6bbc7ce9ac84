//! Whatever is presented as a token is read or refused, and never crashes. The same property is fuzzed by `just fuzz`; its
//! corpus runs here too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::{Arc, LazyLock};

use grantex_core::clock::Timestamp;
use grantex_core::testing::fixtures::Fixtures;
use grantex_core::token::claims::{self, Claims};
use grantex_core::token::crypto::KeyPair;
use grantex_core::token::jwt;
use grantex_core::token::signer::{Algorithm, KeyRing, Signer, Verifier};
use grantex_core::token::verified::VerifiedTokens;
use proptest::prelude::*;

static KEYS: LazyLock<KeyRing> = LazyLock::new(new_keys);
static VERIFIED: LazyLock<VerifiedTokens> = LazyLock::new(VerifiedTokens::default);

fn new_keys() -> KeyRing {
    let (pair, _) = KeyPair::generate(Algorithm::Es256).unwrap();
    let pair = Arc::new(pair);
    KeyRing::new(
        Arc::clone(&pair) as Arc<dyn Signer>,
        Arc::clone(&pair) as Arc<dyn Signer>,
        vec![pair as Arc<dyn Verifier>],
    )
}

fn check(text: &str) {
    assert!(jwt::open(&KEYS, &VERIFIED, text).is_none());
    let token = jwt::sign(&**KEYS.token_signer(), jwt::GRANT_TOKEN_TYPE, text).unwrap();
    if let Some(authentic) = jwt::open(&KEYS, &VERIFIED, token.expose()) {
        let _ = Claims::read(authentic.claims);
    }
}

fn valid_token() -> String {
    let fixtures = Fixtures::new(1);
    let agent = fixtures.agent(&fixtures.developer());
    let grant = fixtures.grant(&agent);
    let payload = claims::payload(
        "https://auth.example",
        &grant,
        &fixtures.id(),
        Timestamp::from_millis(0),
        grant.expires_at,
    );
    jwt::sign(&**KEYS.token_signer(), jwt::GRANT_TOKEN_TYPE, &payload)
        .unwrap()
        .expose()
        .clone()
}

#[test]
fn the_fuzzing_corpus_is_harmless() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/open_token");
    let files: Vec<_> = std::fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.len() >= 9, "the corpus is there");
    for file in files {
        check(&String::from_utf8_lossy(&std::fs::read(file).unwrap()));
    }
}

#[test]
fn a_token_of_these_keys_is_read_whole() {
    let authentic = jwt::open(&KEYS, &VERIFIED, &valid_token()).unwrap();
    assert_eq!(authentic.typ.as_deref(), Some("at+jwt"));
    assert!(Claims::read(authentic.claims).is_some());
}

#[test]
fn a_token_that_was_good_before_is_refused_once_its_key_is_gone() {
    let token = valid_token();
    assert!(jwt::open(&KEYS, &VERIFIED, &token).is_some());
    assert_eq!(jwt::open(&new_keys(), &VERIFIED, &token), None);
}

proptest! {
    #[test]
    fn arbitrary_text_is_refused(text in ".{0,300}") {
        check(&text);
    }

    #[test]
    fn arbitrary_parts_are_refused(parts in prop::collection::vec("[A-Za-z0-9_-]{0,80}", 0..5)) {
        check(&parts.join("."));
    }

    #[test]
    fn a_changed_character_spoils_a_token(position in 0_usize..400, replacement in "[A-Za-z0-9_.-]") {
        let mut token: Vec<char> = valid_token().chars().collect();
        let position = position % token.len();
        let replacement = replacement.chars().next().unwrap();
        prop_assume!(token[position] != replacement);
        token[position] = replacement;
        let changed: String = token.into_iter().collect();
        // The last character of a base64url part may carry unused bits; the decoder refuses those too.
        prop_assert!(jwt::open(&KEYS, &VERIFIED, &changed).is_none());
    }
}
