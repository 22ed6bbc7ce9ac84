//! Routes behind a guard, with actix-web and with axum.

use actix_web::{App, web};
use axum::body::Body;
use axum::routing::get;
use axum::{Extension, Router};
use grantex_client::middleware::{Guard, actix, tower};
use grantex_client::{Authorized, OnlineCheck, Requirements};
use grantex_core::testing::ManualClock;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower_service::Service as _;

use crate::service::{Service, text};
use crate::support::{ISSUING, checked, claims_with, key, publishing, verifier};

/// Authorization headers, and what they are answered: status, challenge, `error` of the body.
fn table() -> Vec<(Vec<String>, u16, Option<&'static str>, &'static str)> {
    let bearer = |token: &str| vec![format!("Bearer {token}")];
    let other = ISSUING.sign(&claims_with(json!({"scp": ["write"], "scope": "write"})));
    vec![
        (Vec::new(), 401, Some("Bearer"), "invalid_token"),
        (vec!["Basic eDp5".to_owned()], 401, Some("Bearer"), "invalid_token"),
        (
            vec!["Bearer a".to_owned(), "Bearer b".to_owned()],
            400,
            Some("Bearer error=\"invalid_request\", error_description=\"the Authorization header is malformed\""),
            "invalid_request",
        ),
        (
            bearer("nonsense"),
            401,
            Some("Bearer error=\"invalid_token\", error_description=\"the token is no grant token of this issuer\""),
            "invalid_token",
        ),
        (
            bearer(&other),
            403,
            Some(
                "Bearer error=\"insufficient_scope\", error_description=\"the token does not allow this call\", scope=\"read\"",
            ),
            "insufficient_scope",
        ),
    ]
}

async fn guard() -> (Service, Guard) {
    let service = publishing().await;
    let verifier = verifier(&service, &ManualClock::default(), |builder| builder);
    (service, Guard::new(verifier, Requirements::new().scope("read")))
}

/// A guard whose service gives no answer about revocations.
async fn blind() -> (Service, Guard) {
    let service = Service::start(|asked| async move {
        if asked.path().starts_with("/v1") {
            text(500, "")
        } else {
            ISSUING.published(&asked)
        }
    })
    .await;
    let check = OnlineCheck::builder(&service.url, key()).build().unwrap();
    let verifier = checked(&service, &ManualClock::default(), check);
    (service, Guard::new(verifier, Requirements::new()))
}

#[tokio::test]
async fn axum_routes_are_protected() {
    let whose = get(|Extension(who): Extension<Authorized>| async move { who.principal_id().to_owned() });
    let ask = async |guard: Guard, headers: &[String]| {
        let mut app = Router::new()
            .route("/", whose.clone())
            .layer(tower::Protect::new(guard));
        let mut request = axum::http::Request::get("/");
        for header in headers {
            request = request.header("authorization", header);
        }
        let response = app.call(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (
            parts.status.as_u16(),
            header("www-authenticate"),
            header("retry-after"),
            String::from_utf8(body).unwrap(),
        )
    };
    let (_service, guard) = guard().await;
    for token in [ISSUING.token(), ISSUING.biscuit()] {
        let (status, _, _, body) = ask(guard.clone(), &[format!("Bearer {token}")]).await;
        assert_eq!((status, body.as_str()), (200, "user-1"));
    }
    for (headers, status, challenge, error) in table() {
        let answered = ask(guard.clone(), &headers).await;
        assert_eq!((answered.0, answered.1.as_deref()), (status, challenge));
        assert_eq!(serde_json::from_str::<Value>(&answered.3).unwrap()["error"], error);
    }
    let (_service, guard) = blind().await;
    let (status, challenge, after, body) = ask(guard, &[format!("Bearer {}", ISSUING.token())]).await;
    assert_eq!((status, challenge, after.as_deref()), (503, None, Some("1")));
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap()["error"],
        "temporarily_unavailable"
    );
}

#[actix_web::test]
async fn actix_routes_are_protected() {
    async fn whose(who: web::ReqData<Authorized>) -> String {
        who.principal_id().to_owned()
    }
    let ask = async |guard: Guard, headers: &[String]| {
        let scope = web::scope("")
            .wrap(actix::Protect::new(guard))
            .route("/", web::get().to(whose));
        let app = actix_web::test::init_service(App::new().service(scope)).await;
        let mut request = actix_web::test::TestRequest::get().uri("/");
        for header in headers {
            request = request.append_header(("authorization", header.as_str()));
        }
        let response = actix_web::test::call_service(&app, request.to_request()).await;
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let (challenge, after) = (header("www-authenticate"), header("retry-after"));
        let status = response.status().as_u16();
        let body = actix_web::test::read_body(response).await.to_vec();
        (status, challenge, after, String::from_utf8(body).unwrap())
    };
    let (_service, guard) = guard().await;
    let (status, _, _, body) = ask(guard.clone(), &[format!("Bearer {}", ISSUING.token())]).await;
    assert_eq!((status, body.as_str()), (200, "user-1"));
    for (headers, status, challenge, error) in table() {
        let answered = ask(guard.clone(), &headers).await;
        assert_eq!((answered.0, answered.1.as_deref()), (status, challenge));
        assert_eq!(serde_json::from_str::<Value>(&answered.3).unwrap()["error"], error);
    }
    let (_service, guard) = blind().await;
    let (status, challenge, after, _) = ask(guard, &[format!("Bearer {}", ISSUING.token())]).await;
    assert_eq!((status, challenge, after.as_deref()), (503, None, Some("1")));
}
