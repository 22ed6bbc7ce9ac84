//! `audit export` and `verify`.

use std::os::unix::fs::PermissionsExt as _;

use grantex_core::id::AuditId;
use serde_json::{Value, json};

use crate::support::{Directory, Ended, Service, run};

fn verdict(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap()
}

fn verify(export: &str, more: &[&str]) -> Ended {
    run(&[&["audit", "verify", "-", "--json"], more].concat(), export)
}

fn lines(export: &str) -> Vec<Value> {
    export.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn an_export_verifies_without_the_service() {
    let service = Service::start();
    let export = service.run(&["audit", "export"]).good();
    let entries = lines(&export);
    let (callers, servers): (Vec<&Value>, Vec<&Value>) = entries.iter().partition(|entry| entry["chain"] == "caller");
    assert_eq!(callers.len(), 3);
    assert!(servers.len() >= 3, "the service's own decisions are there as well");
    assert_eq!(callers[1]["metadata"], json!({"n": 1, "é": "ü\n"}));

    let report = verify(&export, &[]);
    let chain = |name: &str, all: &[&Value]| {
        let last = all.last().unwrap();
        json!({
            "developerId": service.developer, "chain": name, "checkedEntries": all.len(), "firstSequence": 1,
            "last": {"entryId": last["entryId"], "sequence": all.len(), "hash": last["hash"]},
        })
    };
    let intact =
        json!({"valid": true, "chains": [chain("caller", &callers), chain("server", &servers)], "broken": null});
    assert_eq!((report.code, verdict(&report)), (0, intact.clone()));
    assert_eq!(service.run(&["audit", "verify", "--json"]).json(), intact);
    let shown = service.run(&["audit", "verify", "--chain", "caller"]).good();
    assert!(shown.ends_with("every chain is intact\n"), "{shown}");
    // The members' order and white space are not what is hashed.
    assert_eq!(verify(&text(&entries), &[]).code, 0);
}

#[test]
fn every_change_is_found_and_told_where_it_is() {
    let service = Service::start();
    let export = service.run(&["audit", "export", "--chain", "caller"]).good();
    let entries = lines(&export);
    let changed = |line: usize, name: &str, value: Value| {
        let mut entries = entries.clone();
        entries[line][name] = value;
        text(&entries)
    };
    let id = entries[1]["entryId"].as_str().unwrap();
    let other_id = AuditId::parse(&format!("{}Z", &id[..id.len() - 1])).unwrap();
    for (name, value) in [
        ("action", json!("mail.send")),
        ("agentId", json!("")),
        ("agentDid", json!("did:web:other.example")),
        ("grantId", json!("grnt_X")),
        ("principalId", json!("user-2")),
        ("metadata", json!({"n": 2, "é": "ü\n"})),
        ("timestamp", json!("2100-01-01T00:00:00.001Z")),
        ("status", json!("failure")),
        ("hash", json!("0".repeat(64))),
        ("entryId", json!(other_id)),
    ] {
        let report = verify(&changed(1, name, value), &[]);
        assert_eq!(report.code, 1, "{name}");
        let broken = &verdict(&report)["broken"];
        assert_eq!(
            (&broken["line"], &broken["reason"], &broken["sequence"]),
            (&json!(2), &json!("content"), &json!(2)),
            "{name}"
        );
    }
    let without = |line: usize| {
        let mut entries = entries.clone();
        entries.remove(line);
        text(&entries)
    };
    let swapped = text(&[entries[1].clone(), entries[0].clone(), entries[2].clone()]);
    let doubled = text(&[entries[0].clone(), entries[0].clone()]);
    for (export, line) in [
        (without(0), 1),
        (without(1), 2),
        (swapped, 1),
        (doubled, 2),
        (changed(2, "prevHash", json!(null)), 3),
        (changed(2, "sequence", json!(4)), 3),
    ] {
        let report = verify(&export, &[]);
        let broken = &verdict(&report)["broken"];
        assert_eq!(
            (report.code, &broken["line"], &broken["reason"]),
            (1, &json!(line), &json!("link")),
            "{export}"
        );
    }
    let shown = run(&["audit", "verify", "-"], &changed(1, "action", json!("x")));
    assert_eq!(shown.code, 1);
    assert!(
        shown.out.contains(&format!(
            "line 2: the caller chain of {} is broken at entry 2, {id}: its hash",
            service.developer
        )),
        "{}",
        shown.out
    );
}

#[test]
fn what_is_no_entry_is_told_with_its_line() {
    let service = Service::start();
    let export = service.run(&["audit", "export", "--chain", "caller"]).good();
    let first = export.lines().next().unwrap();
    let twice = first.replacen("\"metadata\":{", "\"metadata\":{\"n\":7,", 1);
    assert_ne!(twice, first);
    let half = &first[..first.len() / 2];
    let longer = first.replacen(".000Z", ".0000Z", 1);
    let elsewhere = first.replacen("2100-01-01T00:00:00.000Z", "2100-01-01T01:00:00.000+01:00", 1);
    for bad in [&twice, half, "{}", "null", "\u{7}", &longer, &elsewhere] {
        let report = verify(&format!("\n{bad}\n"), &[]);
        assert_eq!(
            (report.code, &verdict(&report)["broken"]),
            (1, &json!({"line": 2, "reason": "malformed"})),
            "{bad}"
        );
    }
}

#[test]
fn nothing_is_no_intact_chain() {
    for nothing in ["", "\n \n"] {
        let report = verify(nothing, &[]);
        let broken = json!({"line": null, "reason": "no entries"});
        assert_eq!(
            (report.code, verdict(&report)),
            (1, json!({"valid": false, "chains": [], "broken": broken}))
        );
        let shown = run(&["audit", "verify", "-"], nothing);
        assert_eq!((shown.code, shown.out.as_str()), (1, "there are no entries\n"));
        let report = verify(nothing, &["--partial"]);
        assert_eq!(
            (report.code, verdict(&report)),
            (0, json!({"valid": true, "chains": [], "broken": null}))
        );
    }
}

#[test]
fn a_part_of_a_chain_is_one_that_was_asked_for() {
    let service = Service::start();
    let export = service.run(&["audit", "export", "--chain", "caller"]).good();
    let entries = lines(&export);
    let part = text(&entries[1..]);
    assert_eq!(verify(&part, &[]).code, 1);
    let report = verify(&part, &["--partial"]);
    assert_eq!(
        (report.code, &verdict(&report)["chains"][0]["firstSequence"]),
        (0, &json!(2))
    );
    let mut changed = entries[1..].to_vec();
    changed[0]["action"] = json!("x");
    assert_eq!(verify(&text(&changed), &["--partial"]).code, 1);
}

#[test]
fn a_file_is_complete_once_it_is_there() {
    let service = Service::start();
    let directory = Directory::new();
    let path = directory.0.join("audit.jsonl");
    let name = path.to_str().unwrap();
    let export = service.run(&["audit", "export", "--json", "--output", name]);
    let count = std::fs::read_to_string(&path).unwrap().lines().count();
    assert_eq!((export.code, verdict(&export)), (0, json!({"entries": count})));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(run(&["audit", "verify", name], "").code, 0);

    let mut refused = service.command(&[
        "audit",
        "export",
        "--output",
        directory.0.join("other").to_str().unwrap(),
    ]);
    refused.env("GRANTEX_API_KEY", "not-the-key-0123456789");
    assert_eq!(Ended::of(refused, "").code, 3);
    assert_eq!(
        std::fs::read_dir(&directory.0).unwrap().count(),
        1,
        "nothing is left of a failed export"
    );
    let none = service
        .run(&["audit", "export", "--since", "2200-01-01T00:00:00Z"])
        .good();
    assert_eq!(none, "");
}
