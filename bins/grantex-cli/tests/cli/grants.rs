//! `grants list`, `tree`, `show` and `revoke`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::Service;

fn ids(grants: &Value) -> Vec<&str> {
    let grants = grants.as_array().unwrap();
    grants.iter().map(|grant| grant["grantId"].as_str().unwrap()).collect()
}

#[test]
fn a_grant_is_shown_as_the_service_tells_it() {
    let service = Service::start();
    let grant = &service.child.grant;
    let shown = service.run(&["grants", "show", grant.id.as_str(), "--json"]).json();
    assert_eq!(
        shown,
        json!({
            "id": grant.id, "grantId": grant.id, "agentId": grant.agent_id, "agentDid": grant.agent_id.did(),
            "principalId": "user-1", "developerId": service.developer, "scopes": ["mail:read", "mail:send"],
            "status": "active", "issuedAt": "2100-01-01T00:00:00.000Z", "expiresAt": "2100-01-01T01:00:00.000Z",
            "delegationDepth": 1, "parentGrantId": service.issued.grant.id,
        })
    );
    let text = service.run(&["grants", "show", grant.id.as_str()]).good();
    assert!(text.contains("  scopes           mail:read, mail:send\n"), "{text}");
}

#[test]
fn grants_are_listed_up_to_a_limit_and_by_filters() {
    let service = Service::start();
    let all = service.run(&["grants", "list", "--json"]).json();
    assert_eq!(all["hasMore"], false);
    // All were made in one millisecond, so that chance decides their order.
    let made = [&service.issued, &service.child, &service.grandchild].map(|issued| issued.grant.id.as_str());
    assert_eq!(BTreeSet::from_iter(ids(&all["grants"])), BTreeSet::from(made));
    let two = service.run(&["grants", "list", "--json", "--limit", "2"]).json();
    assert_eq!((ids(&two["grants"]).len(), &two["hasMore"]), (2, &json!(true)));
    let agent = service.child.grant.agent_id.as_str();
    let of_agent = service
        .run(&["grants", "list", "--json", "--agent", agent, "--status", "active"])
        .json();
    assert_eq!(ids(&of_agent["grants"]), [service.child.grant.id.as_str()]);
    let none = service
        .run(&["grants", "list", "--json", "--principal", "nobody"])
        .json();
    assert_eq!(none, json!({"grants": [], "hasMore": false}));

    let table = service.run(&["grants", "list", "--agent", agent]).good();
    let child = service.child.grant.id.as_str();
    assert_eq!(
        table,
        format!(
            "GRANT                            STATUS  AGENT                          PRINCIPAL  EXPIRES                   SCOPES\n\
             {child}  active  {agent}  user-1     2100-01-01T01:00:00.000Z  mail:read, mail:send\n"
        )
    );
    let cut = service.run(&["grants", "list", "--limit", "1"]);
    assert_eq!(
        (cut.code, cut.err.as_str()),
        (0, "There are more than 1: raise --limit to see them.\n")
    );
}

#[test]
fn a_tree_shows_who_handed_what_to_whom() {
    let service = Service::start();
    let [root, child, grandchild] = [&service.issued, &service.child, &service.grandchild].map(|issued| &issued.grant);
    let line = |grant: &grantex_core::grant::Grant, until: &str| {
        let scopes = grant.scopes.as_slice().join(", ");
        format!("{}  active  {}  [{scopes}]  until {until}", grant.id, grant.agent_id)
    };
    let (day, hour) = ("2100-01-02T00:00:00.000Z", "2100-01-01T01:00:00.000Z");
    let below = format!("{}\n└─ {}\n", line(child, hour), line(grandchild, hour));
    let whole = format!(
        "{}\n└─ {}\n   └─ {}\n",
        line(root, day),
        line(child, hour),
        line(grandchild, hour)
    );
    assert_eq!(service.run(&["grants", "tree"]).good(), whole);
    assert_eq!(service.run(&["grants", "tree", child.id.as_str()]).good(), below);

    let trees = service.run(&["grants", "tree", "--json"]).json();
    assert_eq!(ids(&trees["grants"]), [root.id.as_str()]);
    let children = &trees["grants"][0]["children"];
    assert_eq!(ids(children), [child.id.as_str()]);
    assert_eq!(ids(&children[0]["children"]), [grandchild.id.as_str()]);
    assert_eq!(children[0]["children"][0]["children"], json!([]));
    assert_eq!(trees["hasMore"], false);
}

#[test]
fn a_revoked_grant_takes_its_tree_with_it() {
    let service = Service::start();
    let id = service.child.grant.id.as_str();
    let done = service.run(&["grants", "revoke", id, "--json"]).json();
    assert_eq!(done, json!({"grantId": id, "revoked": true}));
    let left = service.run(&["grants", "list", "--json", "--status", "active"]).json();
    assert_eq!(ids(&left["grants"]), [service.issued.grant.id.as_str()]);
    let root = service.issued.grant.id.as_str();
    assert_eq!(
        service.run(&["grants", "revoke", root]).good(),
        format!("revoked {root} and all that was delegated from it\n")
    );
}

#[test]
fn ids_of_nothing_are_told_apart_from_mistyped_ones() {
    let service = Service::start();
    let unknown = "grnt_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for command in ["show", "revoke", "tree"] {
        let said = service.run(&["grants", command, unknown]).bad(3);
        assert!(said.starts_with("grantex: the service answered 404: "), "{said}");
        let said = service.run(&["grants", command, "../../v1/me"]).bad(2);
        assert!(said.contains("grnt_01ARZ3NDEKTSV4RRFFQ69G5FAV"), "{said}");
    }
}
