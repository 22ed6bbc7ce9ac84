//! What is done about anomalies, over HTTP.

use grantex_core::clock::Lifetime;
use serde_json::{Value, json};

use crate::anomalies::log_entries;
use crate::support::TestApp;

const MODE: &str = "/v1/irregularities/response-policy";
const POLICIES: &str = "/v1/anomaly/response-policies";

async fn world() -> (TestApp, String) {
    let app = TestApp::unlimited().await;
    app.clock.advance(Lifetime::hours(6));
    let agent = app.agent(&["read", "write"]).await;
    (app, agent)
}

async fn set(app: &TestApp, path: &str, body: &Value) -> Value {
    app.patch(path).key(&app.live).json(body).send().await.expect(200)
}

#[actix_web::test]
async fn the_mode_is_shown_and_set_for_one_developer() {
    let (app, _) = world().await;
    let advice = json!({"mode": "alert_only"});
    assert_eq!(app.get(MODE).key(&app.live).send().await.expect(200), advice);
    let revoke = json!({"mode": "revoke_agent_grants"});
    assert_eq!(set(&app, MODE, &revoke).await, revoke);
    assert_eq!(app.get(MODE).key(&app.live).send().await.expect(200), revoke);
    assert_eq!(app.get(MODE).key(&app.sandbox).send().await.expect(200), advice);
    let shown = app.get(POLICIES).key(&app.live).send().await.expect(200);
    assert_eq!(shown, json!({"mode": "revoke_agent_grants", "policies": []}));
    app.get(MODE).send().await.problem(401, "UNAUTHORIZED");
}

#[actix_web::test]
async fn grants_are_revoked_when_anomalies_are_looked_for() {
    let (app, agent) = world().await;
    let tokens = app.tokens(&agent).await;
    set(&app, MODE, &json!({"mode": "revoke_agent_grants"})).await;
    log_entries(&app, &agent, 51).await;
    let found = app.post("/v1/anomalies/detect").key(&app.live).send().await.expect(200);
    assert_eq!(
        (&found["autoRevokedGrants"], &found["responseMode"]),
        (&json!(1), &json!("revoke_agent_grants"))
    );
    assert!(!app.is_valid(&tokens["grantToken"]).await);
    let again = app.post("/v1/anomalies/detect").key(&app.live).send().await.expect(200);
    assert_eq!(again["autoRevokedGrants"], 0);
}

#[actix_web::test]
async fn a_policy_suspends_and_another_makes_an_exception() {
    let (app, agent) = world().await;
    let tokens = app.tokens(&agent).await;
    let policies = json!([
        {"rules": ["new_principal"], "action": "alert_only"},
        {"rules": ["AD-011"], "severities": ["critical", "high"], "action": "suspend_agent"},
    ]);
    let kept = json!([
        {"rules": ["AD-013"], "severities": [], "action": "alert_only"},
        {"rules": ["AD-011"], "severities": ["high", "critical"], "action": "suspend_agent"},
    ]);
    let body = json!({"mode": "revoke_agent_grants", "policies": policies});
    let answer = set(&app, POLICIES, &body).await;
    assert_eq!(answer, json!({"mode": "revoke_agent_grants", "policies": kept}));
    let answer = set(&app, POLICIES, &json!({"mode": "alert_only"})).await;
    assert_eq!(
        answer,
        json!({"mode": "alert_only", "policies": kept}),
        "what is not named stays"
    );
    log_entries(&app, &agent, 51).await;
    let found = app.post("/v1/anomalies/detect").key(&app.live).send().await.expect(200);
    assert_eq!(found["autoRevokedGrants"], 0);
    assert!(!app.is_valid(&tokens["grantToken"]).await);
    let path = format!("/v1/agents/{agent}");
    assert_eq!(
        app.get(&path).key(&app.live).send().await.expect(200)["status"],
        "suspended"
    );
}

#[actix_web::test]
async fn bad_input_is_refused_by_name_and_changes_nothing() {
    let (app, _) = world().await;
    for body in [
        json!({}),
        json!({"mode": "suspend_agent"}),
        json!({"mode": 1}),
        json!({"mode": null}),
    ] {
        let refused = app.patch(MODE).key(&app.live).json(&body).send().await.bad_request();
        assert!(refused.contains("mode"), "{refused}");
    }
    let policy = |rules: Value, severities: Value, action: &str| json!({"rules": rules, "severities": severities, "action": action});
    let good = policy(json!([]), json!([]), "suspend_agent");
    for (body, name) in [
        (json!({}), "policies"),
        (json!({"policies": null}), "policies"),
        (json!({"policies": [{"rules": []}]}), "action"),
        (json!({"mode": "off"}), "mode"),
        (json!({"policies": vec![&good; 21]}), "policies"),
        (
            json!({"policies": [good, policy(json!(["AD-999"]), json!([]), "alert_only")]}),
            "policies[1].rules",
        ),
        (
            json!({"policies": [policy(json!(vec!["AD-011"; 41]), json!([]), "alert_only")]}),
            "policies[0].rules",
        ),
        (
            json!({"policies": [policy(json!([]), json!(["grave"]), "alert_only")]}),
            "policies[0].severities",
        ),
        (
            json!({"policies": [policy(json!([]), json!([]), "delete")]}),
            "policies[0].action",
        ),
        (
            json!({"policies": [{"severity": ["critical"], "action": "suspend_agent"}]}),
            "policies[0]",
        ),
    ] {
        let refused = app
            .patch(POLICIES)
            .key(&app.live)
            .json(&body)
            .send()
            .await
            .bad_request();
        assert!(refused.contains(name), "{refused} does not name {name}");
    }
    let shown = app.get(POLICIES).key(&app.live).send().await.expect(200);
    assert_eq!(shown, json!({"mode": "alert_only", "policies": []}));
}
