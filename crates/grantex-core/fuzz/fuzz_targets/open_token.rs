//! Whatever is presented as a token is read or refused, and never crashes.
#![no_main]

use std::sync::{Arc, LazyLock};

use grantex_core::token::claims::Claims;
use grantex_core::token::crypto::KeyPair;
use grantex_core::token::jwt;
use grantex_core::token::signer::{Algorithm, KeyRing, Signer, Verifier};
use grantex_core::token::verified::VerifiedTokens;

static KEYS: LazyLock<KeyRing> = LazyLock::new(|| {
    let (pair, _) = KeyPair::generate(Algorithm::Es256).expect("a key can be made");
    let pair = Arc::new(pair);
    KeyRing::new(Arc::clone(&pair) as Arc<dyn Signer>, Arc::clone(&pair) as Arc<dyn Signer>, vec![pair as Arc<dyn Verifier>])
});

static VERIFIED: LazyLock<VerifiedTokens> = LazyLock::new(VerifiedTokens::default);

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(jwt::open(&KEYS, &VERIFIED, text).is_none(), "nobody can guess a signature");
    // The same bytes as a payload that this server signed: odd claims are refused, not trusted.
    if let Ok(token) = jwt::sign(&**KEYS.token_signer(), jwt::GRANT_TOKEN_TYPE, text)
        && let Some(authentic) = jwt::open(&KEYS, &VERIFIED, token.expose())
    {
        let _ = Claims::read(authentic.claims);
    }
});
