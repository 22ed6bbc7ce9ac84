//! `token inspect`, `verify` and `attenuate`.

use std::os::unix::fs::PermissionsExt as _;

use grantex_core::token::jwt;
use serde_json::{Value, json};

use crate::support::{Directory, Service, run};

fn jwt_of(service: &Service) -> &str {
    service.issued.jwt.expose()
}

fn biscuit_of(service: &Service) -> &str {
    service.issued.biscuit.as_ref().unwrap().expose()
}

#[test]
fn inspect_shows_a_jwt_and_says_that_nothing_is_verified() {
    let service = Service::start();
    let token = jwt_of(&service);
    let (header, claims) = jwt::read_unverified(token).unwrap();
    let shown = run(&["token", "inspect", "--json"], token).json();
    assert_eq!(
        shown,
        json!({"verified": false, "format": "jwt", "header": header, "claims": claims})
    );
    let directory = Directory::new();
    let file = directory.file("token", &format!("\n{token}\n"));
    let text = run(&["token", "inspect", &file], "").good();
    assert!(text.starts_with("NOT VERIFIED"), "{text}");
    assert!(text.contains("4102531200 (2100-01-02T00:00:00.000Z)"), "{text}");
    assert!(text.contains("calendar:read, mail:read, mail:send"), "{text}");

    // Not even an algorithm is asked for.
    let forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJcdTAwMWJbMkoifQ.";
    let text = run(&["token", "inspect"], forged).good();
    assert!(
        text.contains("sub  \\u{1b}[2J"),
        "what it says cannot steer a terminal: {text}"
    );
}

#[test]
fn inspect_shows_the_blocks_of_a_biscuit() {
    let service = Service::start();
    let narrowed = run(
        &[
            "token",
            "attenuate",
            "--scope",
            "mail:read",
            "--to",
            "did:web:sub.example",
        ],
        biscuit_of(&service),
    )
    .good();
    let shown = run(&["token", "inspect", "--json"], &narrowed).json();
    assert_eq!(shown["verified"], false);
    assert_eq!(shown["format"], "biscuit");
    assert!(shown["header"]["rootKeyId"].is_u64());
    assert_eq!(shown["claims"]["scp"], json!(["mail:read"]));
    let mut second = shown["claims"]["blocks"][1].clone();
    assert_eq!(second["revocationId"].take().as_str().unwrap().len(), 128);
    assert_eq!(
        second,
        json!({"revocationId": null, "scopes": ["mail:read"], "agent": "did:web:sub.example"})
    );
    let text = run(&["token", "inspect"], &narrowed).good();
    assert!(text.contains("block 0, by the issuer\n"), "{text}");
    assert!(text.contains("block 1, by a holder\n"), "{text}");
}

#[test]
fn what_is_no_token_is_not_shown() {
    for input in ["not.a.token", "canary", "e30.e30", "", "  \n"] {
        let ended = run(&["token", "inspect"], input);
        assert_eq!(ended.out, "");
        assert!(!ended.bad(2).contains("canary"));
    }
}

#[test]
fn a_token_on_the_command_line_is_refused_and_not_repeated() {
    let service = Service::start();
    for command in ["inspect", "attenuate"] {
        let ended = run(&["token", command, jwt_of(&service)], "");
        assert_eq!(ended.out, "");
        let said = ended.bad(2);
        assert!(said.contains("does not belong on the command line"), "{said}");
        assert!(!said.contains(jwt_of(&service)));
    }
    let token = jwt_of(&service);
    for argument in [
        format!("Bearer {token}"),
        format!("bearer  {token}\n"),
        format!(" {token} "),
    ] {
        let said = run(&["token", "inspect", &argument], "").bad(2);
        assert!(said.contains("does not belong on the command line"), "{said}");
        assert!(!said.contains(token));
    }
    let surplus: [&[&str]; 6] = [
        &["token", "inspect", "file", token],
        &["token", "inspect", "Bearer", token],
        &["token", token],
        &["grants", "list", "gx_live_canary"],
        &["token", "inspect", "gx_live_canary"],
        &["audit", "verify", "gx_live_canary"],
    ];
    for arguments in surplus {
        let ended = run(arguments, "");
        assert_eq!(ended.out, "");
        let said = ended.bad(2);
        assert!(said.contains("does not belong on the command line"), "{said}");
        assert!(!said.contains(token) && !said.contains("canary"), "{said}");
    }
    let said = run(&["token", "inspect", "file", "other"], "").bad(2);
    assert!(said.contains("'other'"), "what is no secret is named: {said}");
}

#[test]
fn verify_takes_good_tokens_of_both_formats_without_an_account() {
    let service = Service::start();
    let jwt_key = jwt::read_unverified(jwt_of(&service)).unwrap().0["kid"].clone();
    for (token, format) in [(jwt_of(&service), "jwt"), (biscuit_of(&service), "biscuit")] {
        let issuer = format!("{}/", service.url);
        let shown = run(&["token", "verify", "--json", "--issuer", &issuer], token).json();
        let claims = run(&["token", "inspect", "--json"], token).json()["claims"].take();
        let key_id = shown["keyId"].clone();
        if format == "jwt" {
            assert_eq!(key_id, jwt_key);
        }
        assert_eq!(
            shown,
            json!({
                "valid": true, "format": format, "keyId": key_id, "checked": ["signature", "type", "issuer", "expiry"],
                "notChecked": ["revocation"], "claims": claims,
            })
        );
    }
    let asked = [
        "token",
        "verify",
        "--issuer",
        &service.url,
        "--scope",
        "mail:read",
        "--scope",
        "mail:send",
    ];
    let text = run(&asked, jwt_of(&service)).good();
    assert!(
        text.starts_with(
            "valid: signature, type, issuer, expiry, scope are good; whether it was revoked was NOT asked\n"
        ),
        "{text}"
    );
}

#[test]
fn verify_says_no_with_a_reason() {
    let service = Service::start();
    let (other, past) = (Service::start(), Service::start_at(1_000_000_000_000));
    let (token, biscuit) = (jwt_of(&service).to_owned(), biscuit_of(&service).to_owned());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let changed = format!("{header}.e30.{signature}");
    let none = format!("eyJhbGciOiJub25lIn0.{}.", message.split_once('.').unwrap().1);
    let (issuer, elsewhere) = (service.url.as_str(), other.url.as_str());
    let cases: [(&str, &[&str], &str); 10] = [
        (&changed, &["--issuer", issuer], "signature"),
        (&none, &["--issuer", issuer], "malformed"),
        ("e30.e30.e30", &["--issuer", issuer], "malformed"),
        ("AAAA", &["--issuer", issuer], "malformed"),
        // All services of these tests sign JWTs with one key, and Biscuits with their own.
        (&token, &["--issuer", elsewhere], "issuer"),
        (&biscuit, &["--issuer", elsewhere], "unknown_key"),
        (&token, &["--issuer", "https://auth.example", "--at", issuer], "issuer"),
        (
            &token,
            &["--issuer", issuer, "--audience", "https://api.example"],
            "audience",
        ),
        (&biscuit, &["--issuer", issuer, "--scope", "admin"], "scope"),
        (jwt_of(&past), &["--issuer", &past.url], "expired"),
    ];
    for (token, arguments, reason) in cases {
        let arguments = [&["token", "verify", "--json"], arguments].concat();
        let ended = run(&arguments, token);
        assert_eq!((ended.code, ended.err.as_str()), (1, ""), "{arguments:?}");
        let said: Value = serde_json::from_str(&ended.out).unwrap();
        let format = if token.contains('.') { "jwt" } else { "biscuit" };
        assert_eq!(said, json!({"valid": false, "format": format, "reason": reason}));
    }
    let ended = run(&["token", "verify", "--issuer", &past.url], biscuit_of(&past));
    assert_eq!((ended.code, ended.out.as_str()), (1, "not valid: it has expired\n"));
}

#[test]
fn a_narrowed_biscuit_is_good_for_what_is_left() {
    let service = Service::start();
    let directory = Directory::new();
    let made = directory.0.join("narrow");
    let narrow = [
        "token",
        "attenuate",
        "--json",
        "--scope",
        "mail:read",
        "--expires-at",
        "2100-01-01T01:00:00.5Z",
        "--audience",
        "https://api.example",
        "--ceiling",
        "EUR:5000",
        "--to",
        "did:web:sub.example",
        "--output",
        made.to_str().unwrap(),
    ];
    let told = run(&narrow, biscuit_of(&service)).json();
    assert_eq!(told["claims"]["exp"], 4_102_448_400_i64);
    assert_eq!(
        told["claims"]["spendingCeilings"],
        json!([{"currency": "EUR", "amount": 5000}])
    );
    assert_eq!(told.as_object().unwrap().len(), 1, "the token is in the file only");
    assert_eq!(std::fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o600);
    let said = run(&narrow, biscuit_of(&service)).bad(2);
    assert!(said.contains("cannot be made"), "what is there stays: {said}");

    let verify = [
        "token",
        "verify",
        "--json",
        "--issuer",
        &service.url,
        made.to_str().unwrap(),
    ];
    let shown = run(&verify, "").json();
    assert_eq!(shown["claims"], told["claims"]);
    assert_eq!(shown["claims"]["delegationDepth"], 1);
    let for_other = [&verify[..], &["--audience", "https://other.example"]].concat();
    assert_eq!(run(&for_other, "").code, 1);
    let wide = [&verify[..], &["--scope", "mail:send"]].concat();
    assert_eq!(run(&wide, "").code, 1);
}

#[test]
fn what_cannot_be_narrowed_is_told() {
    let service = Service::start();
    let narrow = |arguments: &[&str], token: &str| run(&[&["token", "attenuate"], arguments].concat(), token).bad(2);
    assert!(narrow(&[], biscuit_of(&service)).contains("--scope"));
    assert!(narrow(&["--scope", "a"], jwt_of(&service)).contains("delegate the grant"));
    assert!(narrow(&["--to", "somebody"], biscuit_of(&service)).contains("DID"));
    assert!(narrow(&["--ceiling", "5000"], "").contains("EUR:5000"));
    assert!(narrow(&["--expires-in", "soon"], "").contains("15m"));
}
