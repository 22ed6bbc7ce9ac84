//! Policies: what is made of a body, what an answer looks like, and who is refused.

use serde_json::{Map, Value, json};

use crate::support::{Answer, TestApp};

const AGENT: &str = "ag_01ARZ3NDEKTSV4RRFFQ69G5FAV";

impl TestApp {
    pub async fn policy(&self, body: Value) -> Value {
        self.post("/v1/policies")
            .key(&self.live)
            .json(&body)
            .send()
            .await
            .expect(201)
    }

    async fn no_policy(&self, policy: &Value) {
        let path = format!("/v1/policies/{}", policy["id"].as_str().unwrap());
        self.delete(&path).key(&self.live).send().await.expect(204);
    }

    async fn ask_for(&self, agent: &str, scopes: &[&str]) -> Answer {
        let body = json!({"agentId": agent, "principalId": "user-1", "scopes": scopes});
        self.post("/v1/authorize").key(&self.live).json(&body).send().await
    }
}

/// A refusal by a policy names it in the body.
#[track_caller]
fn denied_by(answer: &Answer, policy: &Value) {
    let body = answer.expect(403);
    let message = format!("a policy denies this request: {}", policy["name"].as_str().unwrap());
    let expected = json!({
        "code": "POLICY_DENIED", "message": message, "policyId": policy["id"], "requestId": answer.header("x-request-id"),
    });
    assert_eq!(body, expected);
}

#[actix_web::test]
async fn a_policy_is_served_as_it_was_made() {
    let app = TestApp::start().await;
    let bare = app.policy(json!({"name": " Everything ", "effect": "allow"})).await;
    let id = bare["id"].as_str().unwrap();
    assert!(id.starts_with("pol_"));
    let expected = json!({
        "id": id, "name": "Everything", "effect": "allow", "priority": 0, "agentId": null, "principalId": null, "scopes": null,
        "audience": null, "timeOfDayStart": null, "timeOfDayEnd": null, "timeZone": null, "daysOfWeek": null,
        "createdAt": "2030-01-02T03:04:05.006Z", "updatedAt": "2030-01-02T03:04:05.006Z",
    });
    assert_eq!(bare, expected);

    let said = json!({
        "name": "Nights", "effect": "deny", "priority": -7, "agentId": AGENT, "principalId": "user-1",
        "scopes": ["calendar:*", "mail:read"], "audience": "https://api.example", "timeOfDayStart": "22:00",
        "timeOfDayEnd": "06:30", "timeZone": "Europe/Berlin", "daysOfWeek": ["mon", "sun"],
    });
    let full = app.policy(said.clone()).await;
    for (name, value) in said.as_object().unwrap() {
        assert_eq!(&full[name], value, "{name}");
    }
    let path = format!("/v1/policies/{}", full["id"].as_str().unwrap());
    assert_eq!(app.get(&path).key(&app.live).send().await.expect(200), full);
    let listed = app.get("/v1/policies").key(&app.live).send().await.expect(200);
    assert_eq!(
        listed,
        json!({"policies": [bare, full], "total": 2, "page": 1, "pageSize": 100})
    );
    assert_eq!(app.event_names(), ["policy.changed", "policy.changed"]);
}

#[actix_web::test]
async fn policies_are_listed_by_priority_in_pages() {
    let app = TestApp::start().await;
    for priority in [1, 3, 2] {
        app.policy(json!({"name": priority.to_string(), "effect": "deny", "priority": priority}))
            .await;
    }
    let names = |list: &Value| -> Vec<String> {
        let policies = list["policies"].as_array().unwrap();
        policies
            .iter()
            .map(|policy| policy["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = app
        .get("/v1/policies?pageSize=2")
        .key(&app.live)
        .send()
        .await
        .expect(200);
    assert_eq!(
        (names(&first), &first["total"]),
        (vec!["3".into(), "2".into()], &json!(3))
    );
    let next = format!(
        "/v1/policies?pageSize=2&cursor={}",
        first["nextCursor"].as_str().unwrap()
    );
    let second = app.get(&next).key(&app.live).send().await.expect(200);
    assert_eq!((names(&second), second.get("nextCursor")), (vec!["1".into()], None));
    let foreign = app.get("/v1/policies").key(&app.sandbox).send().await.expect(200);
    assert_eq!((&foreign["policies"], &foreign["total"]), (&json!([]), &json!(0)));
}

#[actix_web::test]
async fn bad_policies_are_refused_by_field() {
    let app = TestApp::unlimited().await;
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    let table = [
        (json!({"name": null}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": " "}), "name"),
        (json!({"name": "x".repeat(201)}), "name"),
        (json!({"effect": "auto_approve"}), "effect"),
        (json!({"effect": null}), "effect"),
        (json!({"effect": 1}), "effect"),
        (json!({"priority": 1.5}), "priority"),
        (json!({"priority": "1"}), "priority"),
        (json!({"priority": 2_147_483_648_i64}), "priority"),
        (json!({"priority": 9_223_372_036_854_775_808_u64}), "priority"),
        (json!({"priority": null}), "priority"),
        (json!({"agentId": "agent-1"}), "agentId"),
        (json!({"agentId": null}), "agentId"),
        (json!({"principalId": ""}), "principalId"),
        (json!({"principalId": ["user-1"]}), "principalId"),
        (json!({"scopes": []}), "scopes"),
        (json!({"scopes": "read"}), "scopes"),
        (json!({"scopes": [1]}), "scopes[0]"),
        (json!({"scopes": ["a b"]}), "scopes"),
        (json!({"scopes": ["calendar*"]}), "scopes"),
        (json!({"scopes": many}), "scopes"),
        (json!({"audience": ""}), "audience"),
        (json!({"audience": "x".repeat(1_025)}), "audience"),
        (
            json!({"timeOfDayStart": "24:00", "timeOfDayEnd": "06:00"}),
            "timeOfDayStart",
        ),
        (
            json!({"timeOfDayStart": "22:00", "timeOfDayEnd": "6:00"}),
            "timeOfDayEnd",
        ),
        (json!({"timeOfDayStart": "22:00"}), "timeOfDayEnd"),
        (json!({"timeOfDayEnd": "06:00"}), "timeOfDayStart"),
        (
            json!({"timeOfDayStart": 2200, "timeOfDayEnd": "06:00"}),
            "timeOfDayStart",
        ),
        (json!({"timeZone": "Mars/Olympus"}), "timeZone"),
        (json!({"timeZone": "+02:00"}), "timeZone"),
        (json!({"timeZone": ""}), "timeZone"),
        (json!({"daysOfWeek": []}), "daysOfWeek"),
        (json!({"daysOfWeek": ["monday"]}), "daysOfWeek"),
        (json!({"daysOfWeek": ["mon", "mon"]}), "daysOfWeek"),
    ];
    for (change, field) in table {
        let mut body = json!({"name": "rule", "effect": "deny"});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let message = app
            .post("/v1/policies")
            .key(&app.live)
            .json(&body)
            .send()
            .await
            .bad_request();
        assert!(message.starts_with(&format!("`{field}` ")), "{change}: {message}");
    }
    for (body, field) in [(json!({"effect": "deny"}), "name"), (json!({"name": "rule"}), "effect")] {
        let message = app
            .post("/v1/policies")
            .key(&app.live)
            .json(&body)
            .send()
            .await
            .bad_request();
        assert_eq!(message, format!("`{field}` is required"));
    }
    assert_eq!(app.event_names(), [""; 0]);
    let listed = app.get("/v1/policies").key(&app.live).send().await.expect(200);
    assert_eq!(listed["total"], 0);
}

#[actix_web::test]
async fn a_change_keeps_what_is_absent_and_empties_what_is_null() {
    let app = TestApp::start().await;
    let full = app
        .policy(json!({
            "name": "Nights", "effect": "deny", "priority": 7, "agentId": AGENT, "principalId": "user-1", "scopes": ["read"],
            "audience": "x", "timeOfDayStart": "22:00", "timeOfDayEnd": "06:30", "timeZone": "UTC", "daysOfWeek": ["mon"],
        }))
        .await;
    let path = format!("/v1/policies/{}", full["id"].as_str().unwrap());
    let change = async |body: Value| app.patch(&path).key(&app.live).json(&body).send().await;
    app.clock.advance(grantex_core::clock::Lifetime::seconds(1));
    let mut expected: Map<String, Value> = full.as_object().unwrap().clone();
    expected.insert("updatedAt".into(), json!("2030-01-02T03:04:06.006Z"));
    assert_eq!(
        change(json!({})).await.expect(200),
        json!(expected),
        "an empty change is one"
    );
    let nothing = json!({"name": null, "effect": null, "priority": null});
    assert_eq!(change(nothing).await.expect(200), json!(expected));
    let cleared = json!({
        "agentId": null, "principalId": null, "scopes": null, "audience": null, "timeOfDayStart": null, "timeOfDayEnd": null,
        "timeZone": null, "daysOfWeek": null,
    });
    expected.extend(cleared.as_object().unwrap().clone());
    assert_eq!(change(cleared).await.expect(200), json!(expected));
    let set = json!({"name": "Days", "effect": "allow", "priority": -1, "scopes": ["a:*"], "timeOfDayStart": "06:00",
        "timeOfDayEnd": "22:00"});
    expected.extend(set.as_object().unwrap().clone());
    assert_eq!(change(set).await.expect(200), json!(expected));

    for (body, field) in [
        (json!({"effect": "maybe"}), "effect"),
        (json!({"timeOfDayEnd": null}), "timeOfDayEnd"),
        (json!({"scopes": []}), "scopes"),
        (json!({"timeZone": "Nowhere"}), "timeZone"),
    ] {
        let message = change(body).await.bad_request();
        assert!(message.starts_with(&format!("`{field}` ")), "{message}");
    }
    let found = app.get(&path).key(&app.live).send().await.expect(200);
    assert_eq!(found, json!(expected), "a refused change changes nothing");
}

#[actix_web::test]
async fn policies_of_others_do_not_exist() {
    let app = TestApp::start().await;
    let policy = app.policy(json!({"name": "rule", "effect": "deny"})).await;
    let own = format!("/v1/policies/{}", policy["id"].as_str().unwrap());
    for path in [
        own.as_str(),
        "/v1/policies/pol_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "/v1/policies/x",
    ] {
        app.get(path).key(&app.sandbox).send().await.problem(404, "NOT_FOUND");
        app.patch(path)
            .key(&app.sandbox)
            .json(&json!({}))
            .send()
            .await
            .problem(404, "NOT_FOUND");
        app.delete(path)
            .key(&app.sandbox)
            .send()
            .await
            .problem(404, "NOT_FOUND");
    }
    app.no_policy(&policy).await;
    app.delete(&own).key(&app.live).send().await.problem(404, "NOT_FOUND");
}

#[actix_web::test]
async fn an_allowed_request_carries_its_code_and_the_policy() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let policy = app
        .policy(json!({"name": "Calendars", "effect": "allow", "scopes": ["calendar:*"]}))
        .await;
    let opened = app.ask_for(&agent, &["calendar:read"]).await.expect(201);
    assert_eq!(
        (
            &opened["policyEnforced"],
            &opened["effect"],
            &opened["policyId"],
            &opened["status"]
        ),
        (&json!(true), &json!("allow"), &policy["id"], &json!("approved"))
    );
    let code = json!({"code": opened["code"], "agentId": agent});
    app.post("/v1/token")
        .key(&app.live)
        .json(&code)
        .send()
        .await
        .expect(201);
    let opened = app.ask_for(&agent, &["calendar:read", "mail:read"]).await.expect(201);
    assert_eq!(
        (opened.get("code"), opened.get("policyId"), &opened["status"]),
        (None, None, &json!("pending"))
    );
}

#[actix_web::test]
async fn a_refusal_names_its_policy_at_every_step_and_consumes_nothing() {
    let app = TestApp::start().await;
    let (agent, helper) = (app.agent(&[]).await, app.agent(&[]).await);
    let code = app.code(&agent, json!({})).await;
    let tokens = app.tokens(&agent).await;
    let deny = json!({"name": "No writing", "effect": "deny", "scopes": ["write"]});
    let policy = app.policy(deny.clone()).await;
    app.events();

    denied_by(&app.ask_for(&agent, &["read", "write"]).await, &policy);
    let exchange = || {
        let body = json!({"code": code, "agentId": agent});
        app.post("/v1/token").key(&app.live).json(&body).send()
    };
    denied_by(&exchange().await, &policy);
    let refresh = || {
        let body = json!({"refreshToken": tokens["refreshToken"], "agentId": agent});
        app.post("/v1/token/refresh").key(&app.live).json(&body).send()
    };
    denied_by(&refresh().await, &policy);
    let delegate = || {
        let body = json!({"parentGrantToken": tokens["grantToken"], "subAgentId": helper, "scopes": ["write"]});
        app.post("/v1/grants/delegate").key(&app.live).json(&body).send()
    };
    denied_by(&delegate().await, &policy);
    let form = format!("grant_type=authorization_code&code={code}&client_id={agent}");
    let oauth = app
        .post("/v1/token")
        .key(&app.live)
        .form(&form)
        .send()
        .await
        .expect(403);
    assert_eq!(
        (&oauth["error"], &oauth["policyId"]),
        (&json!("access_denied"), &policy["id"])
    );
    assert_eq!(
        app.event_names(),
        [
            "policy.evaluated",
            "auth_request.denied",
            "auth_request.rejected",
            "policy.evaluated",
            "policy.denied",
            "token.exchange_rejected",
            "policy.evaluated",
            "policy.denied",
            "token.refresh_rejected",
            "token.verified",
            "policy.evaluated",
            "policy.denied",
            "policy.evaluated",
            "policy.denied",
            "token.exchange_rejected",
        ],
        "each attempt is counted once"
    );

    app.no_policy(&policy).await;
    exchange().await.expect(201);
    refresh().await.expect(201);
    delegate().await.expect(201);
}

#[actix_web::test]
async fn a_simulation_tells_what_would_happen_and_why() {
    let app = TestApp::start().await;
    let allow = app.policy(json!({"name": "All", "effect": "allow"})).await;
    let night = app
        .policy(json!({
            "name": "Nights", "effect": "deny", "scopes": ["payments:*"], "timeOfDayStart": "22:00", "timeOfDayEnd": "06:00",
            "timeZone": "America/New_York", "priority": 5,
        }))
        .await;
    app.events();
    let simulate = async |change: Value| {
        let mut body = json!({"agentId": AGENT, "principalId": "user-1", "scopes": ["read", "payments:send"]});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        app.post("/v1/policies/simulate")
            .key(&app.live)
            .json(&body)
            .send()
            .await
    };
    let told = simulate(json!({})).await.expect(200);
    let expected = json!({
        "decision": "deny", "outcome": "denied", "policyId": night["id"], "reason": "Nights", "action": "authorize",
        "at": "2030-01-02T03:04:05.006Z", "total": 2, "bundle": null, "backend": null,
        "policies": [
            {"policyId": night["id"], "name": "Nights", "effect": "deny", "priority": 5, "matches": true, "decides": true,
             "conditions": [
                {"condition": "scopes", "holds": true, "reason": "the policy lists the scope payments:send"},
                {"condition": "time", "holds": true, "reason": "tue 22:04 in America/New_York is in the policy's time"},
             ]},
            {"policyId": allow["id"], "name": "All", "effect": "allow", "priority": 0, "matches": true, "decides": false,
             "conditions": []},
        ],
    });
    assert_eq!(told, expected);
    let outcome = async |change| simulate(change).await.expect(200)["outcome"].clone();
    assert_eq!(outcome(json!({"at": "2030-01-02T14:00:00+02:00"})).await, "approved");
    assert_eq!(
        outcome(json!({"at": "2030-01-02T12:00:00Z", "action": "refresh"})).await,
        "proceeds"
    );
    assert_eq!(outcome(json!({"action": "delegate"})).await, "denied");
    for (change, field) in [
        (json!({"agentId": "x"}), "agentId"),
        (json!({"principalId": ""}), "principalId"),
        (json!({"scopes": []}), "scopes"),
        (json!({"action": "consent"}), "action"),
        (json!({"at": "yesterday"}), "at"),
        (json!({"audience": null}), "audience"),
    ] {
        let message = simulate(change).await.bad_request();
        assert!(message.starts_with(&format!("`{field}` ")), "{message}");
    }
    assert_eq!(app.event_names(), [""; 0], "nothing happened");
    let body = json!({"agentId": AGENT, "principalId": "user-1", "scopes": ["read"]});
    for (key, outcome) in [(&app.sandbox, "approved")] {
        let told = app
            .post("/v1/policies/simulate")
            .key(key)
            .json(&body)
            .send()
            .await
            .expect(200);
        assert_eq!(
            (&told["decision"], &told["outcome"], &told["policyId"]),
            (&json!("none"), &json!(outcome), &Value::Null)
        );
    }
    app.no_policy(&allow).await;
    assert_eq!(outcome(json!({"scopes": ["read"]})).await, "consent_required");
}

#[actix_web::test]
async fn a_policy_is_validated_member_by_member() {
    let app = TestApp::start().await;
    let validate = async |body: Value| {
        app.post("/v1/policies/validate")
            .key(&app.live)
            .json(&body)
            .send()
            .await
    };
    let good = json!({"policy": {"name": "rule", "effect": "deny", "scopes": ["payments:*"]}});
    assert_eq!(validate(good).await.expect(200), json!({"valid": true, "problems": []}));

    let bad = json!({"policy": {"name": " ", "effect": "deny", "scopes": ["a*"], "timeZone": "Mars/Olympus"}});
    let told = validate(bad).await.expect(200);
    let fields: Vec<_> = told["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        (&told["valid"], fields),
        (&json!(false), vec!["name", "scopes", "timeZone"])
    );
    for (policy, field) in [
        (json!({"effect": "deny"}), json!("name")),
        (json!({"name": "rule", "effect": "maybe"}), json!("effect")),
        (
            json!({"name": "rule", "effect": "deny", "scopes": [1]}),
            json!("scopes[0]"),
        ),
    ] {
        let told = validate(json!({"policy": policy})).await.expect(200);
        assert_eq!((&told["valid"], &told["problems"][0]["field"]), (&json!(false), &field));
    }
    let told = validate(json!({"policy": {"name": "rule", "effect": "allow"}}))
        .await
        .expect(200);
    let problem = json!({
        "severity": "warning", "field": "effect", "line": null, "column": null,
        "message": "approves every request of every agent without asking anybody",
    });
    assert_eq!(told, json!({"valid": true, "problems": [problem]}));
    for (body, field) in [
        (json!({}), "policy"),
        (json!({"policy": null}), "policy"),
        (json!({"policy": []}), "policy"),
        (json!({"policy": {}, "format": "cedar"}), "policy"),
        (json!({"format": "cedar"}), "content"),
        (json!({"content": "eA=="}), "format"),
        (json!({"format": "yaml", "content": "eA=="}), "format"),
        (json!({"format": "cedar", "content": "?"}), "content"),
        (json!({"format": "cedar", "content": ""}), "content"),
    ] {
        let message = validate(body.clone()).await.bad_request();
        assert!(message.starts_with(&format!("`{field}` ")), "{body}: {message}");
    }
    assert_eq!(app.event_names(), [""; 0]);
}
