//! Opening with the published keys alone.

use grantex_biscuit::{PublicRootKeys, key_number, root_key_number};
use serde_json::{Value, json};

use crate::support::{Issuer, append};

fn changed(jwk: &Value, name: &str, value: Value) -> Value {
    let mut jwk = jwk.clone();
    jwk[name] = value;
    jwk
}

#[test]
fn published_keys_open_what_the_server_opens() {
    let issuer = Issuer::new();
    let keys = PublicRootKeys::read(issuer.keys.published());
    let token = issuer.token();
    let narrowed = append(&token, r#"check if operation("a");"#);
    for token in [&token, &narrowed] {
        assert_eq!(keys.open(token), issuer.open(token));
        assert!(keys.open(token).is_some());
        assert_eq!(root_key_number(token), Some(key_number(&issuer.key.kid)));
    }
    assert_eq!(keys.open(&append(&token, r#"scope("admin");"#)), None);
    assert_eq!(keys.open(&Issuer::new().token()), None);
    assert_eq!(keys.open(""), None);
}

#[test]
fn keys_for_anything_else_are_not_taken() {
    let jwk = Issuer::new().key.jwk;
    assert_eq!(
        PublicRootKeys::read(std::slice::from_ref(&jwk)).len(),
        1,
        "the number may be missing"
    );
    for (name, value) in [
        ("kty", json!("EC")),
        ("crv", json!("Ed448")),
        ("alg", json!("ES256")),
        ("use", json!("enc")),
        ("kid", json!("")),
        ("x", json!("AAAA")),
        ("biscuitKeyId", json!(1)),
    ] {
        assert!(PublicRootKeys::read(&[changed(&jwk, name, value)]).is_empty(), "{name}");
    }
    assert!(
        PublicRootKeys::read(&[jwk.clone(), jwk]).is_empty(),
        "two keys of one number"
    );
}
