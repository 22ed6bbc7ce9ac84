//! What verifying costs, on one core: `cargo run --release --example bench_verify -p grantex-client --all-features`. Prints a table.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program that measures ends when something is wrong, and says what it found"
)]

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grantex_biscuit::Biscuits;
use grantex_client::{Attenuate, Requirements, Secret, Verifier};
use grantex_core::clock::{Clock as _, Lifetime, SystemClock};
use grantex_core::id::{DeveloperId, GrantId, TokenId};
use grantex_core::token::biscuit::{BiscuitFormat as _, BiscuitKey, BiscuitKeys, Root};
use grantex_core::token::crypto::KeyPair;
use grantex_core::token::jwt;
use grantex_core::token::signer::{Algorithm, Verifier as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const ISSUER: &str = "https://auth.example";
/// How long each row is measured.
const EACH: Duration = Duration::from_secs(1);

struct Issuer {
    rsa: KeyPair,
    ec: KeyPair,
    biscuits: Arc<dyn BiscuitKeys>,
}

fn id(prefix: &str) -> String {
    format!("{prefix}_01ARZ3NDEKTSV4RRFFQ69G5FAV")
}

fn root() -> Root {
    let now = SystemClock::new().now().floor_to_second();
    Root {
        issuer: ISSUER.to_owned(),
        token_id: TokenId::parse(&id("tok")).unwrap(),
        grant_id: GrantId::parse(&id("grnt")).unwrap(),
        developer_id: DeveloperId::parse(&id("dev")).unwrap(),
        principal_id: "user-1".to_owned(),
        agent_did: format!("did:grantex:{}", id("ag")),
        scopes: vec!["calendar:read".to_owned(), "email:send".to_owned()],
        audience: None,
        issued_at: now,
        expires_at: now.plus(Lifetime::hours(1)),
        depth: 0,
        parent_grant_id: None,
    }
}

fn jwt_of(pair: &KeyPair) -> String {
    let now = SystemClock::new().now().as_seconds();
    let claims = json!({
        "iss": ISSUER, "sub": "user-1", "jti": id("tok"), "iat": now, "exp": now + 3_600, "scope": "calendar:read email:send",
        "scp": ["calendar:read", "email:send"], "agt": format!("did:grantex:{}", id("ag")), "dev": id("dev"), "grnt": id("grnt"),
    });
    jwt::sign(pair, jwt::GRANT_TOKEN_TYPE, &claims.to_string())
        .unwrap()
        .expose()
        .clone()
}

/// Publishes the keys on loopback.
async fn publish(issuer: &Issuer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let jwks = json!({"keys": [issuer.rsa.jwk(), issuer.ec.jwk()]}).to_string();
    let roots = json!({"keys": issuer.biscuits.published()}).to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let count = stream.read(&mut head).await.unwrap_or(0);
            let is_roots = String::from_utf8_lossy(head.get(..count).unwrap_or_default()).contains("biscuit-keys");
            let body = if is_roots { &roots } else { &jwks };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// Does something again and again, and prints a row.
async fn row<F: Future<Output = ()>>(what: &str, mut work: impl FnMut() -> F) {
    for _ in 0..50 {
        work().await;
    }
    let (started, mut took) = (Instant::now(), Vec::new());
    while started.elapsed() < EACH {
        let begun = Instant::now();
        work().await;
        took.push(begun.elapsed());
    }
    let rate = took.len() as f64 / started.elapsed().as_secs_f64();
    took.sort_unstable();
    let micros = |part: usize| {
        took.get(took.len() * part / 100)
            .map_or(0.0, |d| d.as_nanos() as f64 / 1_000.0)
    };
    println!("| {what} | {rate:.0} | {:.1} | {:.1} |", micros(50), micros(99));
}

async fn verifying(what: &str, verifier: &Verifier, token: &str) {
    let needs = Requirements::new().scope("calendar:read");
    row(what, || async {
        black_box(verifier.verify(black_box(token), &needs).await.unwrap());
    })
    .await;
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let key = BiscuitKey::generate().unwrap();
    let issuer = Issuer {
        rsa: KeyPair::generate(Algorithm::Rs256).unwrap().0,
        ec: KeyPair::generate(Algorithm::Es256).unwrap().0,
        biscuits: Biscuits::default().keys(std::slice::from_ref(&key), &key.kid).unwrap(),
    };
    let address = publish(&issuer).await;
    let verifier = |remembered| {
        let builder = Verifier::builder(&address).issuer(ISSUER).remembered_tokens(remembered);
        builder.build().unwrap()
    };
    let (remembering, forgetful) = (verifier(10_000), verifier(0));
    let (rsa, ec) = (jwt_of(&issuer.rsa), jwt_of(&issuer.ec));
    let whole: Secret<String> = issuer.biscuits.mint(&root()).unwrap();
    let narrow = |token: &Secret<String>| {
        Attenuate::new(token.expose())
            .unwrap()
            .scopes(["calendar:read"])
            .build()
            .unwrap()
    };
    let narrowed = narrow(&whole);

    println!("| on one core | per second | p50, µs | p99, µs |\n|---|---:|---:|---:|");
    verifying("JWT, verified before", &remembering, &rsa).await;
    verifying(
        "Biscuit with one later block, verified before",
        &remembering,
        narrowed.expose(),
    )
    .await;
    verifying("JWT, RS256", &forgetful, &rsa).await;
    verifying("JWT, ES256", &forgetful, &ec).await;
    verifying("Biscuit", &forgetful, whole.expose()).await;
    verifying("Biscuit with one later block", &forgetful, narrowed.expose()).await;
    let root = root();
    row("Biscuit, made", || async {
        black_box(issuer.biscuits.mint(black_box(&root)).unwrap());
    })
    .await;
    row("Biscuit, narrowed", || async {
        black_box(narrow(black_box(&whole)));
    })
    .await;
}
