//! Anomalies over HTTP: both faces, rules and mutes.

use grantex_core::clock::Lifetime;
use serde_json::{Value, json};

use crate::support::TestApp;

pub(crate) async fn log_entries(app: &TestApp, agent: &str, count: u32) {
    for _ in 0..count {
        let body = json!({
            "agentId": agent, "agentDid": "did:grantex:x", "grantId": "grnt_none", "principalId": "user-1", "action": "mail.sent",
        });
        let answer = app.post("/v1/audit/log").key(&app.live).json(&body).send().await;
        answer.expect(201);
    }
}

/// A server at nine in the morning, and the one anomaly that it has found.
async fn found() -> (TestApp, Value) {
    let app = TestApp::unlimited().await;
    app.clock.advance(Lifetime::hours(6));
    let agent = app.agent(&["mail:read"]).await;
    log_entries(&app, &agent, 51).await;
    let answer = app.post("/v1/anomalies/detect").key(&app.live).send().await.expect(200);
    let anomaly = answer["anomalies"][0].clone();
    assert_eq!(
        answer,
        json!({
            "detectedAt": app.clock_text(), "total": 1, "autoRevokedGrants": 0, "responseMode": "alert_only",
            "anomalies": [{
                "id": anomaly["id"], "type": "rate_spike", "severity": "high", "status": "open", "ruleId": "AD-011",
                "agentId": agent, "principalId": null, "description": "51 audit entries within an hour, over 50",
                "metadata": {"bar": 50.0, "count": 51, "threshold": 50, "usualPeak": 0, "windowHours": 1},
                "detectedAt": app.clock_text(), "acknowledgedAt": null, "resolvedAt": null, "notes": [],
            }],
        })
    );
    (app, anomaly)
}

fn id(anomaly: &Value) -> &str {
    anomaly["id"].as_str().unwrap()
}

#[actix_web::test]
async fn one_finding_is_seen_from_both_faces() {
    let (app, anomaly) = found().await;
    let again = app.post("/v1/anomalies/detect").key(&app.live).send().await.expect(200);
    assert_eq!(again["anomalies"], json!([anomaly]), "the same finding keeps its id");
    let list = app.get("/v1/anomalies").key(&app.live).send().await.expect(200);
    assert_eq!(
        list,
        json!({"anomalies": [anomaly], "total": 1, "page": 1, "pageSize": 100})
    );
    let alert = json!({
        "alertId": anomaly["id"], "ruleId": "AD-011", "ruleName": "rate_spike", "severity": "high", "status": "open",
        "agentId": anomaly["agentId"], "principalId": null, "detectedAt": anomaly["detectedAt"],
        "description": anomaly["description"], "context": anomaly["metadata"],
        "acknowledgedAt": null, "resolvedAt": null, "notes": [],
    });
    let alerts = app.get("/v1/anomaly/alerts").key(&app.live).send().await.expect(200);
    assert_eq!(alerts, json!({"data": [alert]}));
    let path = format!("/v1/anomaly/alerts/{}", id(&anomaly));
    assert_eq!(app.get(&path).key(&app.live).send().await.expect(200), alert);
    app.get(&path).key(&app.sandbox).send().await.problem(404, "NOT_FOUND");
    let theirs = app.get("/v1/anomalies").key(&app.sandbox).send().await.expect(200);
    assert_eq!(theirs["total"], 0);
}

#[actix_web::test]
async fn one_state_is_moved_by_both_faces() {
    let (app, anomaly) = found().await;
    let acknowledge = format!("/v1/anomalies/{}/acknowledge", id(&anomaly));
    let known = app
        .patch(&acknowledge)
        .key(&app.live)
        .json(&json!({"notes": "seen"}))
        .send()
        .await
        .expect(200);
    assert_eq!(known["status"], "acknowledged");
    assert_eq!(known["notes"], json!([{"at": app.clock_text(), "text": "seen"}]));
    let first = app.clock_text();
    app.clock.advance(Lifetime::minutes(1));
    let again = app.patch(&acknowledge).key(&app.live).send().await.expect(200);
    assert_eq!(again["acknowledgedAt"], json!(first), "the first time counts");

    let resolve = format!("/v1/anomaly/alerts/{}/resolve", id(&anomaly));
    let resolved = app
        .post(&resolve)
        .key(&app.live)
        .json(&json!({"note": "done"}))
        .send()
        .await
        .expect(200);
    assert_eq!(
        (&resolved["status"], &resolved["resolvedAt"]),
        (&json!("resolved"), &json!(app.clock_text()))
    );
    assert_eq!(resolved["notes"].as_array().unwrap().len(), 2);
    let legacy = app.get("/v1/anomalies").key(&app.live).send().await.expect(200);
    assert_eq!(legacy["anomalies"][0]["status"], "resolved");
    let open = app
        .get("/v1/anomalies?unacknowledged=true")
        .key(&app.live)
        .send()
        .await
        .expect(200);
    assert_eq!(open["total"], 0);
    let detected = app.post("/v1/anomalies/detect").key(&app.live).send().await.expect(200);
    assert_eq!(detected["total"], 0, "it is dealt with");
    let counts = app
        .get("/v1/anomaly/metrics?window=1h")
        .key(&app.live)
        .send()
        .await
        .expect(200);
    assert_eq!(
        counts,
        json!({
            "window": "1h", "total": 1, "byStatus": {"open": 0, "acknowledged": 0, "resolved": 1},
            "bySeverity": {"critical": 0, "high": 1, "medium": 0, "low": 0},
        })
    );
    let elsewhere = app
        .get("/v1/anomaly/metrics?agentId=ag_x")
        .key(&app.live)
        .send()
        .await
        .expect(200);
    assert_eq!((&elsewhere["total"], &elsewhere["window"]), (&json!(0), &json!("24h")));
}

#[actix_web::test]
async fn what_cannot_be_is_refused_by_name() {
    let (app, anomaly) = found().await;
    for (path, name) in [
        ("/v1/anomalies?severity=worst", "severity"),
        ("/v1/anomalies?status=closed", "status"),
        ("/v1/anomalies?unacknowledged=1", "unacknowledged"),
        ("/v1/anomalies?unacknowledged=true&status=resolved", "status"),
        ("/v1/anomalies?pageSize=0", "pageSize"),
        ("/v1/anomaly/alerts?status=closed", "status"),
        ("/v1/anomaly/alerts?agentId=", "agentId"),
        ("/v1/anomaly/metrics?window=2d", "window"),
    ] {
        let answer = app.get(path).key(&app.live).send().await;
        let refusal = answer.problem(400, "BAD_REQUEST");
        assert!(refusal.contains(&format!("`{name}`")), "{path}: {refusal}");
    }
    for limit in ["0", "1001", "-1", "many", ""] {
        let path = format!("/v1/anomaly/alerts?limit={limit}");
        let answer = app.get(&path).key(&app.live).send().await.expect(200);
        assert_eq!(answer["data"].as_array().unwrap().len(), 1, "garbage means the default");
    }
    let path = format!("/v1/anomaly/alerts/{}/acknowledge", id(&anomaly));
    for body in [
        json!({"note": ""}),
        json!({"note": 1}),
        json!({"note": null}),
        json!({"note": "x".repeat(2_001)}),
    ] {
        app.post(&path).key(&app.live).json(&body).send().await.bad_request();
    }
    for path in [
        "/v1/anomaly/alerts/x",
        "/v1/anomaly/alerts/anm_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    ] {
        app.get(path).key(&app.live).send().await.problem(404, "NOT_FOUND");
    }
}

#[actix_web::test]
async fn rules_tell_what_they_do_and_can_be_changed() {
    let app = TestApp::unlimited().await;
    app.clock.advance(Lifetime::hours(6));
    let list = app.get("/v1/anomaly/rules").key(&app.live).send().await.expect(200);
    let rules = list["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 14);
    let of = |id: &str| rules.iter().find(|rule| rule["ruleId"] == id).unwrap();
    assert_eq!(of("AD-007")["state"], "dormant");
    assert_eq!(of("AD-007")["enabled"], false);
    assert!(of("AD-007")["stateReason"].as_str().unwrap().contains("budgets"));
    for rule in rules {
        assert_eq!(rule["builtIn"], true);
        assert!(rule["formula"].is_string() && rule["name"].is_string() && rule["description"].is_string());
    }
    let change = async |path: &str, body: Value| {
        let path = format!("/v1/anomaly/rules/{path}");
        app.patch(&path).key(&app.live).json(&body).send().await
    };
    let off = change("rate_spike", json!({"enabled": false})).await.expect(200);
    assert_eq!((&off["ruleId"], &off["state"]), (&json!("AD-011"), &json!("disabled")));
    let agent = app.agent(&["mail:read"]).await;
    log_entries(&app, &agent, 60).await;
    let detected = app.post("/v1/anomalies/detect").key(&app.live).send().await.expect(200);
    assert_eq!(detected["total"], 0);
    app.clock.advance(Lifetime::hours(2));
    let on = change("AD-011", json!({"enabled": true, "thresholds": {"threshold": 2}}))
        .await
        .expect(200);
    assert_eq!(on["thresholds"]["threshold"]["value"], 2.0);
    log_entries(&app, &agent, 3).await;
    let detected = app.post("/v1/anomalies/detect").key(&app.live).send().await.expect(200);
    assert_eq!(detected["total"], 1);
    let default = change("AD-011", json!({"thresholds": {"threshold": "default"}}))
        .await
        .expect(200);
    assert_eq!(default["thresholds"]["threshold"]["value"], 50.0);

    for body in [
        json!({}),
        json!({"enabled": "yes"}),
        json!({"thresholds": {"threshold": 0}}),
        json!({"thresholds": {"threshold": "many"}}),
        json!({"thresholds": {"colour": 1}}),
    ] {
        change("AD-011", body).await.bad_request();
    }
    change("AD-999", json!({"enabled": false}))
        .await
        .problem(404, "NOT_FOUND");
}

fn night_watch(agent: &str) -> Value {
    json!({
        "ruleId": "many-mails", "name": "Many mails", "description": "More than five", "severity": "critical",
        "condition": {"timeWindow": "10m", "threshold": 5, "signals": ["audit_entry"], "agentIds": [agent]},
        "alertChannels": [],
    })
}

#[actix_web::test]
async fn a_rule_of_ones_own_is_made_evaluated_and_removed() {
    let app = TestApp::unlimited().await;
    app.clock.advance(Lifetime::hours(6));
    let (agent, other) = (app.agent(&["mail:read"]).await, app.agent(&["mail:read"]).await);
    let body = night_watch(&agent);
    let made = app
        .post("/v1/anomaly/rules")
        .key(&app.live)
        .json(&body)
        .send()
        .await
        .expect(201);
    let rule = json!({
        "id": made["id"], "ruleId": "many-mails", "type": "custom", "name": "Many mails", "description": "More than five",
        "severity": "critical", "builtIn": false, "enabled": true, "state": "active", "learnt": false, "thresholds": {},
        "condition": body["condition"], "alertChannels": [], "createdAt": app.clock_text(),
    });
    assert_eq!(made, rule);
    assert!(id(&made).starts_with("arule_"));
    let list = app.get("/v1/anomaly/rules").key(&app.live).send().await.expect(200);
    assert_eq!(list["rules"].as_array().unwrap().last(), Some(&rule));

    log_entries(&app, &other, 6).await;
    log_entries(&app, &agent, 5).await;
    let detect = async || app.post("/v1/anomalies/detect").key(&app.live).send().await.expect(200);
    assert_eq!(detect().await["total"], 0);
    log_entries(&app, &agent, 1).await;
    let found = detect().await["anomalies"][0].clone();
    assert_eq!(
        (&found["type"], &found["ruleId"], &found["severity"], &found["agentId"]),
        (
            &json!("custom"),
            &json!("many-mails"),
            &json!("critical"),
            &json!(agent)
        )
    );
    assert_eq!(
        found["metadata"],
        json!({"count": 6, "ruleId": "many-mails", "threshold": 5, "window": "10m"})
    );

    app.clock.advance(Lifetime::hours(1));
    let path = format!("/v1/anomaly/rules/{}", id(&made));
    let off = app
        .patch(&path)
        .key(&app.live)
        .json(&json!({"enabled": false}))
        .send()
        .await
        .expect(200);
    assert_eq!((&off["enabled"], &off["state"]), (&json!(false), &json!("disabled")));
    let thresholds = json!({"thresholds": {"threshold": 1}});
    app.patch(&path)
        .key(&app.live)
        .json(&thresholds)
        .send()
        .await
        .bad_request();
    log_entries(&app, &agent, 10).await;
    assert_eq!(detect().await["total"], 0);

    app.delete(&path)
        .key(&app.sandbox)
        .send()
        .await
        .problem(404, "NOT_FOUND");
    app.delete("/v1/anomaly/rules/AD-011")
        .key(&app.live)
        .send()
        .await
        .problem(404, "NOT_FOUND");
    app.delete("/v1/anomaly/rules/many-mails")
        .key(&app.live)
        .send()
        .await
        .expect(204);
    app.delete(&path).key(&app.live).send().await.problem(404, "NOT_FOUND");
    let list = app.get("/v1/anomalies").key(&app.live).send().await.expect(200);
    assert_eq!(list["anomalies"][0]["id"], found["id"], "what it found stays");
}

#[actix_web::test]
async fn a_rule_that_could_not_be_evaluated_is_refused_by_name() {
    let app = TestApp::unlimited().await;
    let agent = app.agent(&["mail:read"]).await;
    let post = async |body: Value| app.post("/v1/anomaly/rules").key(&app.live).json(&body).send().await;
    let with = |member: &str, value: Value| {
        let mut body = night_watch(&agent);
        body[member] = value;
        body
    };
    let condition = |member: &str, value: Value| {
        let mut body = night_watch(&agent);
        body["condition"][member] = value;
        body
    };
    for (body, name) in [
        (with("ruleId", json!("")), "ruleId"),
        (with("ruleId", json!(" ")), "ruleId"),
        (with("ruleId", json!("x".repeat(65))), "ruleId"),
        (with("name", json!(7)), "name"),
        (with("severity", json!("worst")), "severity"),
        (with("condition", json!("often")), "condition"),
        (with("condition", json!({})), "timeWindow"),
        (with("condition", json!({"timeWindow": "10m"})), "threshold"),
        (with("alertChannels", json!(["achan_1"])), "alertChannels"),
        (with("channels", json!(["achan_1"])), "channels"),
        (condition("timeWindow", json!("25h")), "timeWindow"),
        (condition("threshold", json!(-1)), "threshold"),
        (condition("ratePerMinute", json!(1)), "ratePerMinute"),
        (condition("agentIds", json!(["x"])), "agentIds"),
        (condition("signals", json!(["smoke"])), "signals"),
        (condition("colour", json!("red")), "colour"),
    ] {
        let refusal = post(body.clone()).await.problem(400, "BAD_REQUEST");
        assert!(refusal.contains(name), "{body}: {refusal}");
    }
    for taken in ["AD-011", "rate_spike", "arule_01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
        post(with("ruleId", json!(taken))).await.problem(409, "CONFLICT");
    }
    for number in 0..20 {
        post(with("ruleId", json!(format!("rule-{number}")))).await.expect(201);
    }
    post(with("ruleId", json!("rule-7"))).await.problem(409, "CONFLICT");
    post(with("ruleId", json!("one-more"))).await.problem(409, "CONFLICT");
}

#[actix_web::test]
async fn a_mute_silences_for_its_time() {
    let app = TestApp::unlimited().await;
    app.clock.advance(Lifetime::hours(6));
    let agent = app.agent(&["mail:read"]).await;
    let ends = app.clock_text().replace("T09", "T10");
    let body = json!({"rule": "AD-011", "agentId": agent, "endsAt": ends, "reason": "load test"});
    let made = app
        .post("/v1/anomaly/mutes")
        .key(&app.live)
        .json(&body)
        .send()
        .await
        .expect(201);
    assert_eq!(
        made,
        json!({
            "id": made["id"], "rule": "rate_spike", "agentId": agent, "startsAt": app.clock_text(), "endsAt": ends,
            "reason": "load test", "createdAt": app.clock_text(),
        })
    );
    log_entries(&app, &agent, 60).await;
    let detected = app.post("/v1/anomalies/detect").key(&app.live).send().await.expect(200);
    assert_eq!(detected["total"], 0);
    let list = app.get("/v1/anomaly/mutes").key(&app.live).send().await.expect(200);
    assert_eq!(list, json!({"mutes": [made]}));
    let path = format!("/v1/anomaly/mutes/{}", id(&made));
    app.delete(&path)
        .key(&app.sandbox)
        .send()
        .await
        .problem(404, "NOT_FOUND");
    app.delete(&path).key(&app.live).send().await.expect(204);
    app.delete(&path).key(&app.live).send().await.problem(404, "NOT_FOUND");
    for body in [
        json!({}),
        json!({"endsAt": "soon"}),
        json!({"endsAt": "2020-01-01T00:00:00Z"}),
        json!({"endsAt": "2999-01-01T00:00:00Z"}),
        json!({"endsAt": ends, "rule": "loudness"}),
        json!({"endsAt": ends, "agentId": "x"}),
    ] {
        app.post("/v1/anomaly/mutes")
            .key(&app.live)
            .json(&body)
            .send()
            .await
            .bad_request();
    }
}
