use proptest::prelude::*;

use super::*;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn read(kind: ChannelKind, config: Value) -> Result<Configured, ChannelProblem> {
    configure(kind, &object(config), |url| match url.starts_with("https://") {
        true => Ok(()),
        false => Err(UrlRefusal::Insecure),
    })
}

fn field(kind: ChannelKind, config: Value) -> String {
    read(kind, config).unwrap_err().field
}

const KEY: &str = "0123456789abcdef0123456789ABCDEF";

#[test]
fn secrets_are_kept_apart_from_what_is_shown() {
    for (kind, config, secret, shown) in [
        (
            ChannelKind::Slack,
            json!({"webhookUrl": "https://hooks.slack.com/services/T0/B0/hidden?x=hidden"}),
            "https://hooks.slack.com/services/T0/B0/hidden?x=hidden",
            json!({"webhookUrl": "https://hooks.slack.com/[redacted]"}),
        ),
        (
            ChannelKind::PagerDuty,
            json!({"integrationKey": KEY}),
            KEY,
            json!({"routingKey": "[redacted]", "url": PAGERDUTY_URL}),
        ),
        (
            ChannelKind::Webhook,
            json!({"url": "https://a.example/hook", "secret": "sixteen letters!"}),
            "sixteen letters!",
            json!({"url": "https://a.example/hook", "secret": "[redacted]"}),
        ),
        (
            ChannelKind::Email,
            json!({"addresses": "a.b+c@mail.example.com"}),
            "",
            json!({"to": ["a.b+c@mail.example.com"]}),
        ),
    ] {
        let configured = read(kind, config).unwrap();
        assert_eq!(configured.secret.unwrap().expose(), secret);
        assert_eq!(Value::Object(configured.config), shown);
    }
    let unsigned = read(ChannelKind::Webhook, json!({"url": "https://a.example"})).unwrap();
    assert!(unsigned.secret.is_none(), "one is to be made");
}

#[test]
fn what_is_wrong_is_named() {
    use ChannelKind::{Email, PagerDuty, Slack, Webhook};
    for (kind, config, expected) in [
        (Webhook, json!({}), "config.url"),
        (Webhook, json!({"url": "http://a.example"}), "config.url"),
        (Webhook, json!({"url": 7}), "config.url"),
        (
            Webhook,
            json!({"url": "https://a.example", "secret": "short"}),
            "config.secret",
        ),
        (
            Webhook,
            json!({"url": "https://a.example", "headers": {}}),
            "config.headers",
        ),
        (Slack, json!({"channel": "#alerts"}), "config.channel"),
        (Slack, json!({}), "config.webhookUrl"),
        (Slack, json!({"url": "ftp://x"}), "config.url"),
        (PagerDuty, json!({"routingKey": "short"}), "config.routingKey"),
        (PagerDuty, json!({"routingKey": KEY, "url": "http://x"}), "config.url"),
        (Email, json!({}), "config.to"),
        (Email, json!({"to": []}), "config.to"),
        (Email, json!({"to": ["a@example.com", 7]}), "config.to"),
        (
            Email,
            json!({"addresses": vec!["a@example.com"; 11]}),
            "config.addresses",
        ),
    ] {
        assert_eq!(field(kind, config.clone()), expected, "{config}");
    }
}

#[test]
fn addresses_that_could_be_read_in_two_ways_are_refused() {
    for address in [
        "a",
        "@example.com",
        "a@",
        "a@localhost",
        "a@example.com\r\nBcc: b@example.com",
        "a b@example.com",
        "\"a\"@example.com",
        "<a@example.com>",
        "a@b@example.com",
        ".a@example.com",
        "a..b@example.com",
        "a@1.2.3.4",
        "a@exa mple.com",
        "ä@example.com",
    ] {
        assert!(!is_address(address), "{address}");
    }
    assert!(is_address("Security.Team+grantex@Mail.Example.com"));
}

#[test]
fn a_stored_channel_is_read_back() {
    let channel = Channel {
        kind: ChannelKind::Email,
        name: "On call \"⚠\"".into(),
        config: object(json!({"to": ["a@example.com", "b@example.com"]})),
        severities: in_order(&[Severity::Low, Severity::Critical, Severity::Low]),
    };
    assert_eq!(channel.severities, [Severity::Critical, Severity::Low]);
    assert_eq!(channel.addresses(), ["a@example.com", "b@example.com"]);
    assert_eq!(Channel::from_stored(&channel.to_stored()), Some(channel));
}

proptest! {
    #[test]
    fn whatever_is_stored_is_read_or_refused(text in ".{0,200}") {
        let _ = Channel::from_stored(&text);
    }

    #[test]
    fn no_address_that_is_let_in_can_end_a_line(text in "[a-z.@\\r\\n<> \"]{0,40}") {
        prop_assert!(!is_address(&text) || text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\",;:".contains(&byte)));
    }

    #[test]
    fn nothing_behind_the_host_is_shown(path in "[a-zA-Z0-9/?#=&]{0,60}") {
        let url = format!("https://hooks.example:8443/{path}");
        prop_assert_eq!(origin(&url), "https://hooks.example:8443");
    }
}
