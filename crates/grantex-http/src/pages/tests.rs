//! Every page, checked for what must hold whatever it shows: escaping, no inline code, labels, form targets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use super::assets::{LOGO, PERMISSIONS_SCRIPT, STYLESHEET, asset};
use super::{ConsentView, Message, MessageView, PermissionsView, ScopeLine};

const MESSAGES: [Message; 8] = [
    Message::Approved,
    Message::Denied,
    Message::NotFound,
    Message::Expired,
    Message::AlreadyUsed,
    Message::ForeignPage,
    Message::TryAgain,
    Message::SomethingWentWrong,
];

const HOSTILE: &str = r#"<script>alert(1)</script>"><img src=x onerror=alert(2)>' style='x"#;

fn view<'a>(scopes: &'a [ScopeLine<'a>]) -> ConsentView<'a> {
    ConsentView {
        base_path: "",
        request_id: "areq_01JC0000000000000000000001",
        developer_name: "Example Travel",
        agent_name: "Trip Planner",
        agent_description: Some("Plans trips."),
        agent_did: "did:grantex:ag_01JC0000000000000000000002",
        scopes,
        duration_text: "24 hours",
        expires_in_text: "14 minutes",
        returns_to: None,
        is_sandbox: false,
    }
}

fn calendar() -> [ScopeLine<'static>; 1] {
    [ScopeLine {
        sentence: "See your calendar events",
        raw: "calendar:read",
        is_custom: false,
    }]
}

fn message(message: Message) -> String {
    MessageView {
        base_path: "",
        message,
        reference: None,
    }
    .page()
    .unwrap()
}

fn permissions() -> String {
    PermissionsView { base_path: "" }.page().unwrap()
}

/// What stands between `<` and `>`; the templates have no `>` inside attributes and escape those of values.
fn tags(html: &str) -> Vec<&str> {
    html.split('<')
        .skip(1)
        .map(|rest| rest.split('>').next().unwrap())
        .collect()
}

fn count(html: &str, part: &str) -> usize {
    html.matches(part).count()
}

/// The names of a tag's attributes; values are always in double quotes.
fn attributes(tag: &str) -> Vec<&str> {
    tag.split('"')
        .step_by(2)
        .filter_map(|part| part.strip_suffix('=')?.split_whitespace().next_back())
        .collect()
}

fn assert_inert(html: &str) {
    for tag in tags(html) {
        let name = tag.split_whitespace().next().unwrap();
        assert!(name != "style", "a style element: {tag}");
        assert!(
            name != "script" || tag.contains(" src=\"/static/"),
            "an inline script: {tag}"
        );
        for attribute in attributes(tag) {
            assert!(
                attribute != "style" && !attribute.starts_with("on"),
                "inline code: {tag}"
            );
        }
    }
    assert!(!html.contains("javascript:") && !html.contains("http://") && !html.contains("https://"));
}

#[test]
fn no_page_holds_inline_code_or_foreign_addresses() {
    assert_inert(&view(&calendar()).page().unwrap());
    assert_inert(&permissions());
    for html in MESSAGES.map(message) {
        assert_inert(&html);
    }
}

#[test]
fn only_the_permissions_page_has_a_script() {
    assert_eq!(count(&view(&calendar()).page().unwrap(), "<script"), 0);
    assert_eq!(count(&message(Message::Approved), "<script"), 0);
    assert_eq!(count(&permissions(), "<script"), 1);
}

#[test]
fn whatever_a_developer_writes_stays_text() {
    let scopes = [
        ScopeLine {
            sentence: HOSTILE,
            raw: HOSTILE,
            is_custom: true,
        },
        ScopeLine {
            sentence: HOSTILE,
            raw: HOSTILE,
            is_custom: false,
        },
    ];
    let html = ConsentView {
        request_id: HOSTILE,
        developer_name: HOSTILE,
        agent_name: HOSTILE,
        agent_description: Some(HOSTILE),
        agent_did: HOSTILE,
        duration_text: HOSTILE,
        expires_in_text: HOSTILE,
        returns_to: Some(HOSTILE),
        ..view(&scopes)
    }
    .page()
    .unwrap();

    assert_inert(&html);
    assert_eq!(count(&html, "<script"), 0);
    assert_eq!(count(&html, "<img"), 1, "the logo alone");
    let shape = |html: &str| tags(html).into_iter().filter(|tag| tag.starts_with("form")).count();
    assert_eq!(shape(&html), 2);
}

#[test]
fn both_decisions_are_plain_forms() {
    let html = view(&calendar()).page().unwrap();
    for decision in ["approve", "deny"] {
        let form = format!(r#"<form method="post" action="/consent/areq_01JC0000000000000000000001/{decision}">"#);
        assert_eq!(count(&html, &form), 1, "{form}");
        assert_eq!(
            count(
                &html,
                &format!(r#"<button type="submit" class="button {decision}" id="{decision}">"#)
            ),
            1
        );
    }
}

#[test]
fn deny_comes_first_for_those_who_use_a_keyboard() {
    let html = view(&calendar()).page().unwrap();
    assert!(html.find(r#"id="deny""#).unwrap() < html.find(r#"id="approve""#).unwrap());
}

#[test]
fn the_addresses_follow_the_mount_point() {
    let html = ConsentView {
        base_path: "/auth",
        ..view(&calendar())
    }
    .page()
    .unwrap();
    assert!(html.contains(r#"action="/auth/consent/areq_"#));
    assert!(html.contains(r#"href="/auth/static/grantex.css?v="#));
    let html = PermissionsView { base_path: "/auth" }.page().unwrap();
    assert!(html.contains(r#"data-base="/auth""#) && html.contains(r#"src="/auth/static/permissions.js?v="#));
}

#[test]
fn the_request_id_cannot_leave_its_place_in_the_address() {
    let html = ConsentView {
        request_id: "../x?y#z",
        ..view(&calendar())
    }
    .page()
    .unwrap();
    assert!(html.contains(r#"action="/consent/..%2Fx%3Fy%23z/approve""#), "{html}");
}

#[test]
fn the_consent_page_says_who_asks_for_what_and_how_long() {
    let html = ConsentView {
        returns_to: Some("app.example.com"),
        ..view(&calendar())
    }
    .page()
    .unwrap();
    for text in [
        "<h1><bdi>Trip Planner</bdi> asks to act for you</h1>",
        "<bdi>Example Travel</bdi>",
        "Plans trips.",
        "See your calendar events",
        ">24 hours</strong>",
        "14 minutes",
        "did:grantex:ag_01JC0000000000000000000002",
        "<bdi>app.example.com</bdi>",
    ] {
        assert!(html.contains(text), "{text}");
    }
    assert!(
        !html.contains("calendar:read"),
        "a known permission is not shown in its raw form"
    );
    assert!(!html.contains(r#"id="sandbox""#));
}

#[test]
fn a_custom_permission_is_named_so_before_its_raw_text() {
    let scopes = [ScopeLine {
        sentence: "Custom permission: acme:launch",
        raw: "acme:launch",
        is_custom: true,
    }];
    let html = view(&scopes).page().unwrap();
    let named = html.find("Custom permission").unwrap();
    assert!(named < html.find("<code dir=\"auto\">acme:launch</code>").unwrap());
    assert_eq!(count(&html, "acme:launch"), 1);
    assert_eq!(count(&html, r#"id="custom-hint""#), 1);
    assert_eq!(count(&view(&calendar()).page().unwrap(), r#"id="custom-hint""#), 0);
}

#[test]
fn a_missing_description_leaves_no_empty_quote() {
    let html = ConsentView {
        agent_description: None,
        ..view(&calendar())
    }
    .page()
    .unwrap();
    assert_eq!(count(&html, "<figure"), 0);
}

#[test]
fn a_sandbox_request_is_marked() {
    let html = ConsentView {
        is_sandbox: true,
        ..view(&calendar())
    }
    .page()
    .unwrap();
    assert_eq!(count(&html, r#"id="sandbox""#), 1);
}

#[test]
fn a_hundred_permissions_are_all_listed_and_counted() {
    let scopes: Vec<_> = (0..100)
        .map(|index| ScopeLine {
            sentence: "Do a thing",
            raw: "acme:thing",
            is_custom: index % 2 == 0,
        })
        .collect();
    let html = view(&scopes).page().unwrap();
    let list = html
        .split(r#"id="scopes""#)
        .nth(1)
        .unwrap()
        .split("</ul>")
        .next()
        .unwrap();
    assert_eq!(count(list, "<li"), 100);
    assert!(html.contains("100 things"));
}

#[test]
fn a_long_name_is_whole_and_set_smaller() {
    let name = "Ä".repeat(200);
    let html = ConsentView {
        agent_name: &name,
        ..view(&calendar())
    }
    .page()
    .unwrap();
    assert!(html.contains(&format!(r#"<h1 class="long"><bdi>{name}</bdi>"#)));
}

#[test]
fn every_message_has_its_place_a_heading_and_advice() {
    for (index, html) in MESSAGES.map(message).iter().enumerate() {
        let id = if index < 2 { r#"id="done""# } else { r#"id="problem""# };
        assert_eq!(count(html, id), 1);
        assert_eq!(count(html, "<h1>"), 1);
        assert!(count(html, "<p>") >= 2);
        assert!(!html.contains(r#"id="reference""#));
    }
}

#[test]
fn a_message_can_carry_a_reference() {
    let view = MessageView {
        base_path: "",
        message: Message::SomethingWentWrong,
        reference: Some("<b>1</b>"),
    };
    assert!(view.page().unwrap().contains("&#60;b&#62;1&#60;/b&#62;</code>"));
}

#[test]
fn every_page_is_a_whole_document_with_a_language_and_a_title() {
    let pages = [view(&calendar()).page().unwrap(), permissions()]
        .into_iter()
        .chain(MESSAGES.map(message));
    for html in pages {
        assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{html}");
        assert!(html.trim_end().ends_with("</html>"));
        assert_eq!(count(&html, "<main"), 1);
        assert_eq!(count(&html, "<h1"), 1);
        assert!(!html.contains("<title> ·"));
        assert!(html.contains(r#"name="viewport" content="width=device-width, initial-scale=1""#));
    }
}

#[test]
fn what_is_labelled_exists_once() {
    for html in [view(&calendar()).page().unwrap(), permissions()] {
        for label in html
            .split("aria-labelledby=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
        {
            assert_eq!(count(&html, &format!("id=\"{label}\"")), 1, "{label}");
        }
        for button in tags(&html).into_iter().filter(|tag| tag.starts_with("button")) {
            assert!(button.contains("type=\""), "{button}");
        }
    }
}

#[test]
fn the_script_finds_every_element_it_names() {
    let html = permissions();
    let script = PERMISSIONS_SCRIPT.body();
    for id in script
        .split("byId(\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
    {
        assert_eq!(count(&html, &format!("id=\"{id}\"")), 1, "{id}");
    }
    for template in script
        .split("copyOf(\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
    {
        assert_eq!(count(&html, &format!("<template id=\"{template}\">")), 1, "{template}");
    }
}

#[test]
fn the_script_writes_text_only_and_stores_nothing() {
    let script = PERMISSIONS_SCRIPT.body();
    for forbidden in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "localStorage",
        "sessionStorage",
        "cookie",
    ] {
        assert!(!script.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn assets_are_found_by_name_with_their_type() {
    for (name, content_type) in [
        ("grantex.css", "text/css; charset=utf-8"),
        ("permissions.js", "text/javascript; charset=utf-8"),
        ("logo.svg", "image/svg+xml"),
    ] {
        let found = asset(name).unwrap();
        assert_eq!((found.name(), found.content_type()), (name, content_type));
        assert!(!found.body().is_empty());
        assert_eq!(found.url(), format!("/static/{name}?v={}", found.version()));
        assert_eq!(found.etag(), format!("\"{}\"", found.version()));
    }
    for name in ["", "grantex.css/", "../Cargo.toml", "GRANTEX.CSS"] {
        assert!(asset(name).is_none(), "{name}");
    }
}

#[test]
fn only_the_right_version_may_be_kept_for_ever() {
    assert_eq!(STYLESHEET.version().len(), 16);
    assert_ne!(STYLESHEET.version(), LOGO.version());
    assert_eq!(
        STYLESHEET.cache_control(Some(STYLESHEET.version())),
        "public, max-age=31536000, immutable"
    );
    assert_eq!(STYLESHEET.cache_control(Some(LOGO.version())), "no-cache");
    assert_eq!(STYLESHEET.cache_control(None), "no-cache");
}

#[test]
fn stylesheet_and_logo_fetch_nothing_else() {
    for asset in [&STYLESHEET, &LOGO] {
        let body = asset.body().replace("http://www.w3.org/2000/svg", "");
        assert!(
            !body.contains("url(") && !body.contains("@import") && !body.contains("://"),
            "{}",
            asset.name()
        );
    }
}
