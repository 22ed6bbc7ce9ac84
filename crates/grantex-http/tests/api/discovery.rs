use serde_json::json;

use crate::support::TestApp;

#[actix_web::test]
async fn the_keys_are_public_cacheable_and_unlimited() {
    let app = TestApp::start().await;
    let answer = app.get("/.well-known/jwks.json?x=1").send().await;
    let keys = answer.expect(200)["keys"].clone();
    assert_eq!(keys.as_array().unwrap().len(), 1);
    for (member, value) in [("kty", "RSA"), ("alg", "RS256"), ("use", "sig")] {
        assert_eq!(keys[0][member], value);
    }
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(
        (answer.header("x-ratelimit-limit"), answer.header("content-encoding")),
        (None, None)
    );
    let tag = answer.header("etag").unwrap();
    let unchanged = app
        .get("/.well-known/jwks.json")
        .header("if-none-match", tag)
        .send()
        .await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    app.get("/.well-known/jwks.json")
        .header("if-none-match", "\"other\"")
        .send()
        .await
        .expect(200);
}

#[actix_web::test]
async fn the_did_document_holds_the_same_keys() {
    let app = TestApp::start().await;
    let key = app.get("/.well-known/jwks.json").send().await.expect(200)["keys"][0].clone();
    let root = app.get("/.well-known/biscuit-keys.json").send().await.expect(200)["keys"][0].clone();
    assert_eq!(
        (&root["kty"], &root["crv"], &root["alg"]),
        (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA"))
    );
    assert!(root["biscuitKeyId"].is_u64());
    let id = |key: &serde_json::Value| format!("did:web:auth.example#{}", key["kid"].as_str().unwrap());
    let (method, biscuit) = (id(&key), id(&root));
    let expected = json!({
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/jws-2020/v1"],
        "id": "did:web:auth.example",
        "verificationMethod": [{"id": method, "type": "JsonWebKey2020", "controller": "did:web:auth.example", "publicKeyJwk": key},
            {"id": biscuit, "type": "JsonWebKey2020", "controller": "did:web:auth.example", "publicKeyJwk": root}],
        "authentication": [method, biscuit], "assertionMethod": [method, biscuit],
        "service": [
            {"id": "did:web:auth.example#jwks", "type": "JsonWebKeySet", "serviceEndpoint": "https://auth.example/.well-known/jwks.json"},
            {"id": "did:web:auth.example#grant-protocol", "type": "GrantexProtocol", "serviceEndpoint": "https://auth.example/v1"},
        ],
    });
    assert_eq!(app.get("/.well-known/did.json").send().await.expect(200), expected);
}

#[actix_web::test]
async fn the_metadata_names_only_routes_that_exist() {
    let app = TestApp::start().await;
    let metadata = app
        .get("/.well-known/oauth-authorization-server")
        .send()
        .await
        .expect(200);
    assert_eq!(metadata["issuer"], "https://auth.example");
    for (name, value) in metadata.as_object().unwrap() {
        let Some(path) = value.as_str().and_then(|url| url.strip_prefix("https://auth.example/")) else {
            continue;
        };
        let route = format!("/{path}");
        assert!(
            grantex_http::route_templates().contains(&route.as_str()),
            "{name}: {route}"
        );
    }
}
