//! The routes inside another application, which knows its callers by means of its own.

use actix_web::dev::Service as _;
use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
use actix_web::{App, HttpMessage as _, web};
use grantex_core::id::DeveloperId;
use grantex_http::KnownDeveloper;
use serde_json::{Value, json};

use crate::support::{Opened, TestApp};

/// The status with which a request of a developer with this id is answered under a prefix, and what is said.
async fn ask(app: &TestApp, id: Option<&str>, request: TestRequest) -> (StatusCode, Value) {
    let id = id.map(|id| DeveloperId::parse(id).unwrap());
    let mounted = app.app.clone();
    let scope = web::scope("/auth")
        .configure(grantex_http::routes(mounted))
        .wrap_fn(move |request, routes| {
            if let Some(id) = id.clone() {
                request.extensions_mut().insert(KnownDeveloper::new(id));
            }
            routes.call(request)
        });
    let service = init_service(App::new().service(scope)).await;
    let response = call_service(&service, request.to_request()).await;
    (response.status(), read_body_json(response).await)
}

async fn id_of(app: &TestApp, key: &str) -> String {
    let me = app.get("/v1/me").key(key).send().await.expect(200);
    me["developerId"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn a_developer_who_is_known_needs_no_key() {
    let app = TestApp::start().await;
    let live = id_of(&app, &app.live).await;
    let me = || TestRequest::get().uri("/auth/v1/me");
    let (status, known) = ask(&app, Some(&live), me()).await;
    assert_eq!((status, &known["developerId"]), (StatusCode::OK, &json!(live)));
    let (status, _) = ask(&app, None, me()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    // Who is known is not somebody else by another key.
    let other = me().insert_header(("authorization", format!("Bearer {}", app.sandbox)));
    assert_eq!(ask(&app, Some(&live), other).await.1["developerId"], json!(live));
}

#[actix_web::test]
async fn a_developer_who_does_not_exist_is_nobody() {
    let app = TestApp::start().await;
    let unknown = Some("dev_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let (status, problem) = ask(&app, unknown, TestRequest::get().uri("/auth/v1/me")).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::UNAUTHORIZED, &json!("UNAUTHORIZED"))
    );
}

#[actix_web::test]
async fn a_key_is_replaced_by_who_has_it_only() {
    let app = TestApp::start().await;
    let live = id_of(&app, &app.live).await;
    let rotate = TestRequest::post().uri("/auth/v1/keys/rotate");
    assert_eq!(ask(&app, Some(&live), rotate).await.0, StatusCode::UNAUTHORIZED);
    app.get("/v1/me").key(&app.live).send().await.expect(200);
}

#[actix_web::test]
async fn streams_of_a_known_developer_stay_open_until_the_key_is_replaced() {
    for (path, sign_of_life) in [
        ("/auth/v1/events/stream", None),
        ("/auth/v1/revocations/stream", Some("event: heartbeat")),
    ] {
        let app = TestApp::start().await;
        let id = app.developer_id().await;
        let mounted = app.app.clone();
        let scope = web::scope("/auth")
            .configure(grantex_http::routes(mounted))
            .wrap_fn(move |request, routes| {
                request.extensions_mut().insert(KnownDeveloper::new(id.clone()));
                routes.call(request)
            });
        let service = init_service(App::new().service(scope)).await;
        let request = TestRequest::get().uri(path).to_request();
        let response = call_service(&service, request).await.map_into_boxed_body();
        let mut stream = Opened::of(response);
        assert_eq!(stream.status, 200);
        stream.next().await;
        app.app.tend_streams().await;
        if let Some(wanted) = sign_of_life {
            assert!(stream.next().await.unwrap().starts_with(wanted));
        }
        assert!(stream.is_silent(), "it is not ended for want of a key");
        app.post("/v1/keys/rotate").key(&app.live).send().await.expect(200);
        app.app.tend_streams().await;
        assert_eq!(stream.next().await.as_deref(), Some(": ended: key_changed\n\n"));
    }
}
