//! Every form that a later block may have, and what it takes away.

use biscuit_auth::builder::Scope;
use biscuit_auth::{BlockBuilder, UnverifiedBiscuit};
use grantex_core::clock::Timestamp;
use grantex_core::token::biscuit::{Ceiling, Narrowing};

use crate::support::{END, Issuer, append, root};

fn said(datalog: &str) -> Option<Narrowing> {
    let issuer = Issuer::new();
    let chain = issuer.open(&append(&issuer.token(), datalog))?;
    chain.blocks.into_iter().next().map(|block| block.narrowing)
}

fn scopes(list: &[&str]) -> Narrowing {
    Narrowing {
        scopes: Some(list.iter().map(|&scope| scope.to_owned()).collect()),
        ..Narrowing::default()
    }
}

#[test]
fn a_fresh_token_says_what_its_grant_allows() {
    let issuer = Issuer::new();
    let mut whole = root(&["calendar:read", "mail:\"quoted\"", "ünïcode", "read"]);
    whole.audience = Some("https://api.example".to_owned());
    whole.parent_grant_id = Some(whole.grant_id.clone());
    whole.depth = 2;
    let chain = issuer.open(issuer.keys.mint(&whole).unwrap().expose()).unwrap();
    assert_eq!(chain.root, whole);
    assert_eq!(chain.blocks, []);
    assert_eq!(chain.root_revocation_id.len(), 128);
    let effective = chain.effective();
    assert_eq!(effective.scopes, whole.scopes);
    assert_eq!(effective.expires_at, whole.expires_at);
    assert_eq!(effective.audience, whole.audience);
    assert_eq!(effective.depth, 2);
}

#[test]
fn each_form_takes_away_what_it_says() {
    let until = |seconds: i64| Narrowing {
        expires_at: Some(Timestamp::from_millis(seconds * 1_000)),
        ..Narrowing::default()
    };
    let ceiling = |amount| Narrowing {
        ceilings: vec![Ceiling {
            currency: "EUR".to_owned(),
            amount,
        }],
        ..Narrowing::default()
    };
    let table = [
        ("", Narrowing::default()),
        (r#"check if operation("a");"#, scopes(&["a"])),
        (r#"check if operation("a") or operation("b");"#, scopes(&["a", "b"])),
        (
            r#"check if operation($o), {"a", "z"}.contains($o);"#,
            scopes(&["a", "z"]),
        ),
        (
            r#"check if operation($o), ["b", "a"].contains($o);"#,
            scopes(&["b", "a"]),
        ),
        (
            r#"check if operation($o), {"a", "b"}.contains($o); check if operation("b");"#,
            scopes(&["b"]),
        ),
        (
            r#"check if operation($o), ["a", "a", "b", "a"].contains($o);"#,
            scopes(&["a", "b"]),
        ),
        (r#"check if operation("a") or operation("a");"#, scopes(&["a"])),
        ("check if time($now), $now < 2029-12-31T00:00:00Z;", until(END - 86_400)),
        (
            "check if time($now), $now <= 2029-12-31T00:00:00Z;",
            until(END - 86_399),
        ),
        (
            "check if time($a), $a < 2029-12-31T00:00:00Z; check if time($a), $a < 2030-06-01T00:00:00Z;",
            until(END - 86_400),
        ),
        (
            r#"check if audience("https://api.example");"#,
            Narrowing {
                audience: Some("https://api.example".to_owned()),
                ..Narrowing::default()
            },
        ),
        (r#"check if spend($n, "EUR"), $n <= 5000;"#, ceiling(5_000)),
        (r#"check if spend($n, "EUR"), $n < 5000;"#, ceiling(4_999)),
        (
            r#"check if spend($n, "EUR"), $n <= 5000; check if spend($n, "EUR"), $n <= 70;"#,
            ceiling(70),
        ),
        (
            r#"agent("did:web:other.example");"#,
            Narrowing {
                agent_did: Some("did:web:other.example".to_owned()),
                ..Narrowing::default()
            },
        ),
    ];
    for (datalog, expected) in table {
        assert_eq!(said(datalog), Some(expected), "{datalog}");
    }
}

#[test]
fn a_block_that_says_anything_else_makes_the_token_worthless() {
    let table = [
        r#"scope("admin");"#,
        r#"grant("grnt_x");"#,
        r#"agent("alice");"#,
        r#"agent("did:a b");"#,
        r#"agent("did:web:a"); agent("did:web:b");"#,
        r#"agent("did:web:a", 1);"#,
        r#"operation("a");"#,
        "time(2020-01-01T00:00:00Z);",
        r#"scope($s) <- operation($s);"#,
        r#"check if resource("file");"#,
        r#"check all operation($o), {"a"}.contains($o);"#,
        r#"reject if operation("a");"#,
        r#"check if operation($o), $o != "a";"#,
        r#"check if operation($o), $o.starts_with("a");"#,
        r#"check if operation($o), $o.matches("(a*)*b");"#,
        r#"check if operation($o), {"a"}.contains($o), true;"#,
        r#"check if operation($o), {"a"}.contains($o) || true;"#,
        r#"check if operation($o), scope($x), {"a"}.contains($o);"#,
        r#"check if operation($o), scope($x), {"a"}.contains($x);"#,
        r#"check if operation($o), {1, 2}.contains($o);"#,
        r#"check if operation("a") or audience("x");"#,
        r#"check if operation("a") or true;"#,
        r#"check if operation("a") trusting authority;"#,
        "check if true;",
        "check if time($t), $t > 2020-01-01T00:00:00Z;",
        "check if time($t), $t < 2020-01-01T00:00:00Z or time($t);",
        "check if time($t);",
        "check if audience($a);",
        r#"check if spend($n, $c), $n <= 5;"#,
        r#"check if spend($n, "EUR"), $n >= 5;"#,
        r#"check if spend($n, "EUR");"#,
        r#"check if scope($a), scope($b), scope($c), scope($d), scope($e), scope($f), $a == "zzz";"#,
    ];
    for datalog in table {
        assert_eq!(said(datalog), None, "{datalog}");
    }
    let issuer = Issuer::new();
    let trusting = BlockBuilder::new().scope(Scope::Previous);
    let token = UnverifiedBiscuit::from_base64(issuer.token()).unwrap();
    let token = token.append(trusting).unwrap().to_base64().unwrap();
    assert_eq!(issuer.open(&token), None);
    let long = "x".repeat(1_025);
    assert_eq!(said(&format!(r#"check if audience("{long}");"#)), None);
    assert_eq!(said(&format!(r#"check if operation("{long}");"#)), None);
}
