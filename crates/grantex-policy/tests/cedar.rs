//! Bundles in Cedar: what is read, what is refused and where, and what they decide.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::sync::Arc;

use grantex_core::clock::Timestamp;
use grantex_core::id::{AgentId, DeveloperId};
use grantex_core::policy::engine::{BundleDecision, BundleProblem, CompiledBundle};
use grantex_core::policy::{Effect, PolicyAction, PolicyEngine as _, PolicyQuestion};
use grantex_core::scope::Scopes;
use grantex_policy::Cedar;
use proptest::prelude::*;

const AGENT: &str = "ag_01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn compile(text: &str) -> Result<Arc<dyn CompiledBundle>, Vec<BundleProblem>> {
    Cedar::new().unwrap().compile(text)
}

struct Asked {
    action: PolicyAction,
    scopes: &'static str,
    audience: Option<&'static str>,
    at: &'static str,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            action: PolicyAction::Authorize,
            scopes: "read write",
            audience: None,
            at: "2030-01-02T03:04:05.006Z",
        }
    }
}

fn ask(bundle: &dyn CompiledBundle, asked: &Asked) -> BundleDecision {
    bundle.decide(&PolicyQuestion {
        action: asked.action,
        developer_id: &DeveloperId::parse("dev_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap(),
        agent_id: &AgentId::parse(AGENT).unwrap(),
        principal_id: "user-1",
        scopes: &Scopes::from_stored(asked.scopes),
        audience: asked.audience,
        at: Timestamp::parse_rfc3339(asked.at).unwrap(),
    })
}

fn decide(text: &str, asked: &Asked) -> BundleDecision {
    ask(&*compile(text).unwrap_or_else(|problems| panic!("{problems:?}")), asked)
}

fn decided(effect: Option<Effect>, rules: &[&str]) -> BundleDecision {
    BundleDecision {
        effect,
        rules: rules.iter().map(|&rule| rule.to_owned()).collect(),
        failures: Vec::new(),
    }
}

#[test]
fn forbid_refuses_permit_approves_and_otherwise_nothing_is_said() {
    let bundle = r#"
        @id("reading")
        permit (principal, action == Grantex::Action::"authorize", resource)
            when { ["read", "write"].containsAll(context.scopes) };
        permit (principal, action, resource) when { context.scopes.contains("read") };
        @id("no-payments")
        forbid (principal, action, resource) when { context.scopes.containsAny(["payments:send", "payments:read"]) };
    "#;
    let asked = |scopes| Asked {
        scopes,
        ..Asked::default()
    };
    assert_eq!(
        decide(bundle, &asked("read write")),
        decided(Some(Effect::Allow), &["policy1", "reading"])
    );
    assert_eq!(
        decide(bundle, &asked("write")),
        decided(Some(Effect::Allow), &["reading"])
    );
    assert_eq!(decide(bundle, &asked("mail")), decided(None, &[]));
    assert_eq!(
        decide(bundle, &asked("read payments:send")),
        decided(Some(Effect::Deny), &["no-payments"])
    );
}

#[test]
fn a_policy_may_speak_of_everything_in_the_schema() {
    let holds = |condition: &str, asked: &Asked| {
        let bundle = format!("forbid (principal, action, resource) when {{ {condition} }};");
        decide(&bundle, asked).effect == Some(Effect::Deny)
    };
    let asked = Asked {
        action: PolicyAction::Refresh,
        audience: Some("https://api.example"),
        ..Asked::default()
    };
    for (condition, is_true) in [
        (r#"principal == Grantex::Agent::"ag_01ARZ3NDEKTSV4RRFFQ69G5FAV""#, true),
        (r#"principal == Grantex::Agent::"ag_01ARZ3NDEKTSV4RRFFQ69G5FA0""#, false),
        (r#"action == Grantex::Action::"refresh""#, true),
        (
            r#"action in [Grantex::Action::"authorize", Grantex::Action::"exchange"]"#,
            false,
        ),
        (r#"resource == Grantex::Grant::"pending""#, true),
        (r#"context.principalId == "user-1""#, true),
        (r#"context.principalId like "user-*""#, true),
        (r#"context.developerId like "dev_*""#, true),
        (
            r#"context has audience && context.audience == "https://api.example""#,
            true,
        ),
        (r#"context.time < datetime("2030-01-02T03:04:05.006Z")"#, false),
        (r#"context.time >= datetime("2030-01-02T03:04:05.006Z")"#, true),
        (r#"context.time.toTime() < duration("6h")"#, true),
        (r#"context.time.toTime() < duration("3h")"#, false),
        (r#"["sat", "sun"].contains(context.dayOfWeek)"#, false),
        (r#"context.dayOfWeek == "wed""#, true),
    ] {
        assert_eq!(holds(condition, &asked), is_true, "{condition}");
    }
    assert!(!holds("context has audience", &Asked::default()));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let of = |text: &str| compile(text).err().unwrap();
    for (text, line, column, part) in [
        ("permit (principal, action, resource)", 1, 37, "unexpected end of input"),
        (
            "permit (principal, action, resource);\nallow (principal, action, resource);",
            2,
            1,
            "allow",
        ),
        (
            "permit (principal, action, resource) when {\n  context.scope == \"x\"\n};",
            2,
            3,
            "scope",
        ),
        ("permit (principal == User::\"x\", action, resource);", 1, 22, "User"),
        (
            "permit (principal, action == Grantex::Action::\"login\", resource);",
            1,
            30,
            "login",
        ),
        (
            "permit (principal, action, resource) when { context.audience == \"x\" };",
            1,
            45,
            "audience",
        ),
        (
            "permit (principal, action, resource) when { context.principalId == 1 };",
            1,
            45,
            "",
        ),
        ("permit (principal, action, resource) when { 1 };", 1, 45, ""),
    ] {
        let problems = of(text);
        let first = &problems[0];
        assert_eq!(
            (first.line, first.column, first.is_warning),
            (Some(line), Some(column), false),
            "{text}: {first:?}"
        );
        assert_eq!(
            problems.len(),
            1,
            "once, although it is checked for every action: {problems:?}"
        );
        assert!(first.message.contains(part), "{text}: {first:?}");
    }
    for (text, part) in [
        ("", "at least one policy"),
        ("// nothing", "at least one policy"),
        ("permit (principal == ?principal, action, resource);", "templates"),
        (
            "@id(\"a\") permit (principal, action, resource); @id(\"a\") forbid (principal, action, resource);",
            "the @id a",
        ),
        ("@id(\"a b\") permit (principal, action, resource);", "letters"),
        ("@id(\"\") permit (principal, action, resource);", "letters"),
        (&"permit (principal, action, resource);".repeat(1_001), "1000 policies"),
    ] {
        let problems = of(text);
        assert!(problems[0].message.contains(part), "{problems:?}");
    }
}

#[test]
fn a_rule_that_never_applies_is_a_warning() {
    let bundle = compile("permit (principal, action, resource) when { false };").unwrap();
    assert_eq!(bundle.warnings().len(), 1);
    assert!(bundle.warnings()[0].is_warning);
}

#[test]
fn a_refusal_that_cannot_be_evaluated_refuses_and_a_permit_does_not_permit() {
    // The scope of years in which an addition to a time overflows cannot be checked by types.
    let overflow = r#"context.time.offset(duration("9223372036854775807ms")) > context.time"#;
    let forbid = format!("@id(\"f\") forbid (principal, action, resource) when {{ {overflow} }};");
    let permit = format!("@id(\"p\") permit (principal, action, resource) when {{ {overflow} }};");
    let fine = "@id(\"ok\") permit (principal, action, resource);";
    let told = decide(&format!("{forbid}{fine}"), &Asked::default());
    assert_eq!(
        (told.effect, told.rules, told.failures.len()),
        (Some(Effect::Deny), vec!["f".to_owned()], 1)
    );
    let told = decide(&forbid, &Asked::default());
    assert_eq!((told.effect, told.rules), (Some(Effect::Deny), vec!["f".to_owned()]));
    let told = decide(&permit, &Asked::default());
    assert_eq!((told.effect, told.failures.len()), (None, 1));
    let told = decide(&format!("{permit}{fine}"), &Asked::default());
    assert_eq!((told.effect, told.rules), (Some(Effect::Allow), vec!["ok".to_owned()]));
}

/// Tests run on threads of 2 MiB, as the server's workers do; unoptimized code needs several times the stack.
#[test]
fn nested_and_endless_texts_are_refused_or_evaluated_but_never_end_the_process() {
    let policy = |expression: &str| format!("forbid (principal, action, resource) when {{ {expression} }};");
    let chain =
        |start: &str, link: &str, end: &str, count: usize| policy(&format!("{start}{}{end}", link.repeat(count)));
    let nest = |open: &str, close: &str, inner: &str, count| {
        policy(&format!("{}{inner}{}", open.repeat(count), close.repeat(count)))
    };
    let mut texts = Vec::new();
    for count in [30, 100, 390, 790, 100_000] {
        texts.push(chain("1", "+1", " == 1", count));
        texts.push(chain("1", "*1", " == 1", count));
        texts.push(chain("true", "&&true", "", count));
        texts.push(chain("true", "||true", "", count));
        texts.push(chain("context", ".a", " == 1", count));
        texts.push(chain("context.time", ".toDate()", " == context.time", count));
        texts.push(chain("", "!", "true", count));
        texts.push(chain("", "-", "1 == 1", count));
        texts.push(chain("\"a\" like \"", "*a", "\"", count));
        texts.push(format!(
            "forbid (principal, action, resource){};",
            " when { true }".repeat(count)
        ));
        texts.push(nest("(", ")", "true", count));
        texts.push(nest("[", "]", "1", count));
        texts.push(nest("{a:", "}", "1", count));
        texts.push(nest("if true then ", " else true", "true", count));
        texts.push(nest("if true then true else ", "", "true", count));
        texts.push(nest("!(", ")", "true", count));
        texts.push(nest("([{a:if true then ", " else 1}])", "1", count));
    }
    texts.push("(".repeat(100_000));
    texts.push("permit".repeat(40_000));
    texts.push("@a(\"b\")".repeat(30_000));
    texts.push("forbid (principal, action, resource);".repeat(900));
    // Cedar's comments end at a carriage return as well.
    let behind_comments = texts.iter().map(|text| format!("//\r{text}"));
    for text in texts.iter().cloned().chain(behind_comments) {
        match compile(&text) {
            Ok(bundle) => drop(ask(&*bundle, &Asked::default())),
            Err(problems) => assert!(!problems.is_empty() && problems.len() <= 50),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_text_does_harm(text in ".{0,200}") {
        let _ = compile(&text);
    }

    #[test]
    fn no_arrangement_of_cedars_words_does_harm(words in prop::collection::vec(prop::sample::select(&[
        "permit", "forbid", "(", ")", "{", "}", "[", "]", "principal", "action", "resource", "context", "when", "unless", "if",
        "then", "else", "true", "==", "in", "has", "like", "is", "&&", "||", "!", "-", "+", ".", ",", ";", ":", "::", "\"a\"", "1",
        "Grantex::Agent", "@id", "?principal", "//", "\n", "\r",
    ][..]), 0..60)) {
        let text = words.join(" ");
        if let Ok(bundle) = compile(&text) {
            ask(&*bundle, &Asked::default());
        }
    }
}
