//! Bad input: whatever is sent, the answer is a refusal in the usual form, and nothing has changed.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::support::{Answer, TestApp};

/// Every route with a body, and the members it reads.
const ROUTES: &[(&str, &str, &[&str])] = &[
    ("POST", "/v1/signup", &["name", "email", "mode"]),
    ("PATCH", "/v1/me", &["fidoRequired", "fidoRpName"]),
    (
        "POST",
        "/v1/agents",
        &["name", "description", "scopes", "status", "redirectUris", "publicJwk"],
    ),
    (
        "PATCH",
        "/v1/agents/ag_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        &["name", "description", "scopes", "status", "statusReason"],
    ),
    (
        "POST",
        "/v1/agents/ag_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        &["name", "description", "scopes", "status", "resourceServers"],
    ),
    (
        "POST",
        "/v1/authorize",
        &[
            "agentId",
            "principalId",
            "scopes",
            "redirectUri",
            "state",
            "expiresIn",
            "audience",
            "codeChallenge",
            "codeChallengeMethod",
            "purpose",
        ],
    ),
    (
        "POST",
        "/v1/token",
        &[
            "code",
            "agentId",
            "codeVerifier",
            "redirectUri",
            "credentialFormat",
            "tokenFormat",
        ],
    ),
    ("POST", "/v1/token/refresh", &["refreshToken", "agentId"]),
    ("POST", "/v1/tokens/verify", &["token", "audience", "clientIp"]),
    ("POST", "/v1/tokens/revoke", &["jti", "revocationId"]),
    ("POST", "/v1/revocations/refusals", &["refusals"]),
    ("POST", "/v1/grants/verify", &["token", "audience", "clientIp"]),
    (
        "POST",
        "/v1/grants/delegate",
        &[
            "parentGrantToken",
            "subAgentId",
            "scopes",
            "expiresIn",
            "credentialFormat",
            "tokenFormat",
        ],
    ),
    (
        "POST",
        "/v1/audit/log",
        &[
            "agentId",
            "agentDid",
            "grantId",
            "principalId",
            "action",
            "metadata",
            "status",
        ],
    ),
    (
        "POST",
        "/v1/policies",
        &[
            "name",
            "effect",
            "priority",
            "agentId",
            "principalId",
            "scopes",
            "audience",
            "timeOfDayStart",
            "timeOfDayEnd",
            "timeZone",
            "daysOfWeek",
        ],
    ),
    (
        "PATCH",
        "/v1/policies/pol_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        &[
            "name",
            "effect",
            "priority",
            "agentId",
            "scopes",
            "timeOfDayStart",
            "daysOfWeek",
        ],
    ),
    (
        "POST",
        "/v1/policies/simulate",
        &["agentId", "principalId", "scopes", "audience", "action", "at"],
    ),
    ("POST", "/v1/policies/validate", &["policy", "format", "content"]),
    (
        "POST",
        "/v1/policies/sync",
        &["format", "version", "content", "fileCount", "activate"],
    ),
    ("POST", "/v1/principal-sessions", &["principalId", "expiresIn"]),
    ("POST", "/v1/webhooks", &["url", "events", "secret", "description"]),
    (
        "PATCH",
        "/v1/webhooks/wh_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        &["url", "events", "description"],
    ),
    ("POST", "/v1/webhooks/wh_01ARZ3NDEKTSV4RRFFQ69G5FAV/recover", &["since"]),
    (
        "POST",
        "/v1/anomaly/rules",
        &[
            "ruleId",
            "name",
            "description",
            "severity",
            "condition",
            "alertChannels",
            "channels",
        ],
    ),
    ("PATCH", "/v1/anomaly/rules/AD-999", &["enabled", "thresholds"]),
    (
        "POST",
        "/v1/anomaly/mutes",
        &["rule", "agentId", "startsAt", "endsAt", "reason"],
    ),
    (
        "POST",
        "/v1/anomaly/channels",
        &["type", "name", "config", "severities"],
    ),
    (
        "PATCH",
        "/v1/anomaly/channels/achan_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        &["enabled", "name", "severities"],
    ),
    ("PATCH", "/v1/irregularities/response-policy", &["mode"]),
    ("PATCH", "/v1/anomaly/response-policies", &["mode", "policies"]),
    ("POST", "/v1/introspect", &["token", "token_type_hint"]),
    ("POST", "/v1/revoke", &["token", "token_type_hint"]),
    (
        "PATCH",
        "/v1/admin/developers/dev_01ARZ3NDEKTSV4RRFFQ69G5FAV/plan",
        &["plan"],
    ),
];

async fn app() -> TestApp {
    TestApp::start_with(|_, http| {
        http.rate_limits.is_enabled = false;
        http.admin_api_key = Some(grantex_core::secret::Secret::new("admin-key".into()));
    })
    .await
}

async fn send(app: &TestApp, (method, path): (&str, &str), content_type: &str, body: Vec<u8>) -> Answer {
    let key = if path.starts_with("/v1/admin") {
        "admin-key"
    } else {
        &app.live
    };
    app.ask(method, path).key(key).text(content_type, body).send().await
}

/// A value of any shape, with the texts that have hurt before.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just(String::new()),
        Just(" ".to_owned()),
        Just("\u{202e}\u{feff}".to_owned()),
        Just("x".repeat(3_000)),
        Just("999999999999999999d".to_owned()),
        Just("' OR 1=1 --".to_owned()),
        Just("https://user@[::1]:99999/".to_owned()),
        ".{0,40}".prop_map(|text| text.replace('\0', "")),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z:.]{1,8}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn body(members: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::collection::btree_map(prop::sample::select(members), value(), 0..=members.len()).prop_map(|members| {
        Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<Map<_, _>>(),
        )
    })
}

/// A property of the answers to many bodies, on one server.
fn for_all<T: std::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
    check: impl AsyncFn(&TestApp, T) -> Result<(), TestCaseError>,
) {
    let runtime = actix_web::rt::System::new();
    let app = runtime.block_on(app());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(150)
    });
    runner
        .run(&strategy, |case| runtime.block_on(check(&app, case)))
        .unwrap();
}

#[test]
fn no_body_makes_the_server_fail() {
    let route =
        prop::sample::select(ROUTES).prop_flat_map(|(method, path, members)| (Just((method, path)), body(members)));
    for_all(route, async |app, (route, body)| {
        app.events();
        let answer = send(app, route, "application/json", body.to_string().into_bytes()).await;
        prop_assert!(answer.status < 500, "{} {}", answer.status, answer.text());
        if answer.status >= 400 {
            let refusal = answer.value();
            prop_assert_eq!(refusal["requestId"].as_str(), answer.header("x-request-id"));
            prop_assert!(refusal["message"].is_string() && refusal["code"].is_string());
            let rejections = [
                "token.exchange_rejected",
                "token.refresh_rejected",
                "auth_request.rejected",
                "token.verification_failed",
            ];
            let names = app.event_names();
            prop_assert!(names.iter().all(|name| rejections.contains(name)), "{names:?}");
        }
        Ok(())
    });
}

#[test]
fn bytes_that_are_no_object_are_refused() {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        value()
            .prop_filter("not an object", |value| !value.is_object())
            .prop_map(|value| value.to_string().into_bytes()),
        value().prop_map(|value| format!("{{\"name\":{value}").into_bytes()),
    ];
    let kinds = prop::sample::select(
        &[
            "application/json",
            "text/plain",
            "application/xml",
            "application/json; charset=latin1",
        ][..],
    );
    for_all(
        (prop::sample::select(ROUTES), kinds, bytes),
        async |app, ((method, path, _), kind, bytes)| {
            app.events();
            let answer = send(app, (method, path), kind, bytes).await;
            prop_assert!(
                answer.status == 400 || answer.status == 415,
                "{} {}",
                answer.status,
                answer.text()
            );
            prop_assert!(app.event_names().iter().all(|name| name.ends_with("rejected")));
            Ok(())
        },
    );
}

#[actix_web::test]
async fn every_route_refuses_what_is_no_json_object() {
    let app = app().await;
    let too_deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let deep = format!("{{\"x\":{too_deep}}}");
    for (method, path, members) in ROUTES {
        let field = members[0];
        let twice = format!("{{\"{field}\":\"a\",\"{field}\":\"a\"}}");
        let nested = "{\"x\":[{\"a\":1,\"a\":2}]}";
        let nul = format!("{{\"{field}\":\"a\\u0000\"}}");
        let surrogate = format!("{{\"{field}\":\"\\ud800\"}}");
        let huge = format!("{{\"{field}\":1e999}}");
        for body in [
            "",
            "{",
            "[]",
            "null",
            "\"x\"",
            "{}{}",
            &deep,
            &twice,
            nested,
            &nul,
            &surrogate,
            &huge,
            "{\"a\":\"\u{fffd}\x01\"}",
        ] {
            let answer = send(&app, (method, path), "application/json", body.as_bytes().to_vec()).await;
            assert_eq!(answer.status, 400, "{method} {path} {body}: {}", answer.text());
        }
        send(&app, (method, path), "application/json", b"{\"a\":\"\xff\"}".to_vec())
            .await
            .expect(400);
        send(&app, (method, path), "application/xml", b"<a/>".to_vec())
            .await
            .problem(415, "UNSUPPORTED_MEDIA_TYPE");
        send(&app, (method, path), "multipart/form-data", b"x".to_vec())
            .await
            .problem(415, "UNSUPPORTED_MEDIA_TYPE");
        send(&app, (method, path), "text/plain", b"{}".to_vec())
            .await
            .bad_request();
        send(&app, (method, path), "application/json", vec![b' '; (1 << 20) + 1])
            .await
            .problem(413, "PAYLOAD_TOO_LARGE");
        let key = if path.starts_with("/v1/admin") {
            "admin-key"
        } else {
            &app.live
        };
        app.ask(method, path).key(key).send().await.bad_request();
    }
}

#[actix_web::test]
async fn routes_without_a_body_still_refuse_a_broken_one() {
    let app = app().await;
    for (method, path) in [
        ("POST", "/v1/keys/rotate"),
        ("POST", "/v1/consent/x/approve"),
        ("POST", "/v1/consent/x/deny"),
        ("POST", "/v1/anomalies/detect"),
        ("DELETE", "/v1/agents/x"),
        ("DELETE", "/v1/grants/x"),
        ("DELETE", "/v1/policies/x"),
        ("DELETE", "/v1/anomaly/rules/x"),
        ("DELETE", "/v1/anomaly/mutes/x"),
        ("DELETE", "/v1/anomaly/channels/x"),
        ("POST", "/v1/anomaly/channels/x/test"),
    ] {
        send(&app, (method, path), "application/json", Vec::new())
            .await
            .bad_request();
        send(&app, (method, path), "application/json", b"{".to_vec())
            .await
            .bad_request();
        send(
            &app,
            (method, path),
            "application/x-www-form-urlencoded",
            b"a=b".to_vec(),
        )
        .await
        .problem(415, "UNSUPPORTED_MEDIA_TYPE");
        send(&app, (method, path), "application/json", vec![b' '; (1 << 20) + 1])
            .await
            .problem(413, "PAYLOAD_TOO_LARGE");
    }
}

#[actix_web::test]
async fn a_body_of_a_mebibyte_is_read() {
    let app = app().await;
    let mut body = br#"{"name":"big"}"#.to_vec();
    body.resize(1 << 20, b' ');
    send(&app, ("POST", "/v1/agents"), "application/json; charset=UTF-8", body)
        .await
        .expect(201);
}
