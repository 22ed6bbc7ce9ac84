#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::collections::BTreeSet;

use super::*;

fn load(variables: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
    Config::load(Env::of(variables, &[]))
}

fn problems(variables: &[(&str, &str)]) -> Vec<String> {
    load(variables)
        .err()
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn nothing_needs_to_be_set() {
    let config = load(&[]).unwrap();
    assert_eq!((config.http.host.as_str(), config.http.port), ("127.0.0.1", 3001));
    assert_eq!(config.http.public_base_url, "http://127.0.0.1:3001");
    assert_eq!(config.http.jwt_issuer, config.http.public_base_url);
    assert_eq!(config.database.kind(), "sqlite");
    assert!(config.limits.is_enabled && config.metrics.is_enabled && config.jobs.janitor_is_enabled);
    assert_eq!(config.core_settings().max_delegation_depth, 3);
    assert!(config.warnings().is_empty());
}

#[test]
fn all_problems_are_told_together_and_without_secrets() {
    let told = problems(&[
        ("PORT", "70000"),
        ("GRANTEX_ENV", "production"),
        ("SEED_API_KEY", "canary-0123456789abcdef"),
        ("DATABASE_URL", "mysql://root:canary@db/x"),
        ("GRANTEX_MASTER_KEY", "canary"),
        ("ADMIN_API_KEY", "canary"),
        ("TRUST_PROXY", "true"),
        ("AUTH_CODE_TTL", "10"),
        ("MAX_DELEGATION_DEPTH", "11"),
        ("RATE_LIMIT_IP_PER_MINUTE", "0"),
        ("LOG_LEVEL", "loud"),
        ("METRICS_ENABLED", "maybe"),
    ]);
    assert_eq!(
        told,
        [
            "PORT: must be a port from 1 to 65535, not \"70000\"",
            "PUBLIC_BASE_URL: must be set in production",
            "TRUST_PROXY: must not trust everybody, not \"true\"",
            "ADMIN_API_KEY: must have at least 16 characters",
            "DATABASE_URL: must be a path, sqlite:<path> or postgres://…",
            "GRANTEX_MASTER_KEY: the master key must be 32 bytes, as 64 hex digits or base64",
            "AUTH_CODE_TTL: must be a span like 30s, 15m, 24h or 7d, not \"10\"",
            "MAX_DELEGATION_DEPTH: must be a whole number from 1 to 10, not \"11\"",
            "SEED_API_KEY: must not be set in production",
            "RATE_LIMIT_IP_PER_MINUTE: must be a whole number from 1, not \"0\"",
            "METRICS_ENABLED: must be true or false, not \"maybe\"",
            "LOG_LEVEL: must be error, warn, info, debug or trace, not \"loud\"",
        ]
    );
    assert!(!told.join(" ").contains("canary"));
}

#[test]
fn postgres_needs_a_master_key() {
    let url = ("DATABASE_URL", "postgres://grantex:secret@db/grantex");
    assert_eq!(problems(&[url]), ["GRANTEX_MASTER_KEY: must be set with PostgreSQL"]);
    let key = "5a".repeat(32);
    assert!(load(&[url, ("GRANTEX_MASTER_KEY", &key)]).is_ok());
}

#[test]
fn secrets_may_come_from_files() {
    let env =
        |variables: &[(&str, &str)]| Env::of(variables, &[("/run/key", "0123456789abcdef\n"), ("/run/empty", "\n")]);
    let config = Config::load(env(&[("ADMIN_API_KEY_FILE", "/run/key")])).unwrap();
    assert_eq!(config.http.admin_api_key.unwrap().expose(), "0123456789abcdef");
    for (variables, problem) in [
        (
            vec![("ADMIN_API_KEY_FILE", "/run/none")],
            "ADMIN_API_KEY_FILE: cannot be read: entity not found",
        ),
        (
            vec![("ADMIN_API_KEY_FILE", "/run/empty")],
            "ADMIN_API_KEY_FILE: names an empty file",
        ),
        (
            vec![
                ("ADMIN_API_KEY_FILE", "/run/key"),
                ("ADMIN_API_KEY", "0123456789abcdef"),
            ],
            "ADMIN_API_KEY_FILE: is set together with ADMIN_API_KEY; set one of them",
        ),
    ] {
        let told = Config::load(env(&variables)).unwrap_err();
        assert_eq!(told.iter().map(ToString::to_string).collect::<Vec<_>>(), [problem]);
    }
}

#[test]
fn database_urls() {
    let kind = |url: &str| {
        load(&[("DATABASE_URL", url), ("GRANTEX_MASTER_KEY", &"5a".repeat(32))])
            .map(|c| c.database.url().expose().clone())
    };
    assert_eq!(
        kind("sqlite:/var/lib/grantex.db").unwrap(),
        "sqlite:/var/lib/grantex.db"
    );
    assert_eq!(
        kind("sqlite:///var/lib/grantex.db").unwrap(),
        "sqlite:/var/lib/grantex.db"
    );
    assert_eq!(kind("data/grantex.db").unwrap(), "sqlite:data/grantex.db");
    assert_eq!(
        kind("postgres://u@h/d?sslmode=require").unwrap(),
        "postgres://u@h/d?sslmode=require"
    );
    for bad in ["sqlite::memory:", "sqlite:", "redis://h", "postgres:///d"] {
        assert!(kind(bad).is_err(), "{bad}");
    }
}

#[test]
fn base_urls_lose_their_slash_and_must_be_plain() {
    let base = |url: &str| load(&[("PUBLIC_BASE_URL", url)]).map(|config| config.http.public_base_url);
    assert_eq!(base("https://auth.example/").unwrap(), "https://auth.example");
    assert_eq!(base("https://auth.example/base").unwrap(), "https://auth.example/base");
    for bad in [
        "auth.example",
        "ftp://auth.example",
        "https://u:p@auth.example",
        "https://auth.example/?a",
        "https://auth.example/~me",
    ] {
        assert!(base(bad).is_err(), "{bad}");
    }
    let config = load(&[("HOST", "::1"), ("PORT", "8080")]).unwrap();
    assert_eq!(config.http.public_base_url, "http://[::1]:8080");
}

#[test]
fn origins_are_origins() {
    let origins = |text: &str| load(&[("CORS_ALLOWED_ORIGINS", text)]).map(|config| config.http.cors_allowed_origins);
    assert_eq!(
        origins("https://a.example, http://localhost:5173/").unwrap(),
        ["https://a.example", "http://localhost:5173"]
    );
    for bad in ["*", "a.example", "https://a.example/path"] {
        assert!(origins(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_policy_backend_needs_its_url() {
    let none = load(&[("OPA_URL", "http://opa:8181")]).unwrap();
    assert!(none.policies.backend.is_none(), "it is only asked when that is said");
    let config = load(&[
        ("POLICY_BACKEND", "opa"),
        ("OPA_URL", "http://10.0.0.7:8181/v1/data/grantex/authz"),
        ("OPA_FALLBACK_TO_BUILTIN", "true"),
        ("CEDAR_FALLBACK_TO_BUILTIN", "false"),
    ]);
    let backend = config.unwrap().policies.backend.unwrap();
    assert_eq!((backend.kind.as_str(), backend.falls_back), ("opa", true));
    assert_eq!(
        problems(&[("POLICY_BACKEND", "opa")]),
        ["OPA_URL: must be set with POLICY_BACKEND=opa"]
    );
    assert_eq!(
        problems(&[("POLICY_BACKEND", "cedar")]),
        ["CEDAR_URL: must be set with POLICY_BACKEND=cedar"]
    );
    for bad in [
        "opa:8181",
        "ftp://opa",
        "http://user:canary@opa",
        "http://opa/?x=canary",
        "http://opa/#canary",
    ] {
        let told = problems(&[("OPA_URL", bad)]);
        assert_eq!(
            told,
            ["OPA_URL: must be an http or https URL without credentials, query and fragment"]
        );
    }
    assert_eq!(
        problems(&[
            ("POLICY_BACKEND", "rego"),
            ("POLICY_DEADLINE", "1m"),
            ("POLICY_CACHE_MIB", "0")
        ]),
        [
            "POLICY_BACKEND: must be builtin, opa or cedar, not \"rego\"",
            "POLICY_DEADLINE: must be a span from 1s to 30s",
            "POLICY_CACHE_MIB: must be a whole number from 1 to 4096, not \"0\"",
        ]
    );
    let deadline = |variables: &[(&str, &str)]| load(variables).unwrap().policies.deadline.as_millis();
    assert_eq!(deadline(&[]), 4_000, "the request's own deadline is 5 seconds");
    assert_eq!(deadline(&[("REQUEST_DEADLINE", "20s")]), 5_000);
    assert_eq!(deadline(&[("POLICY_DEADLINE", "1s")]), 1_000);
}

#[test]
fn operators_are_warned() {
    let config = load(&[("JWT_ISSUER", "https://else.example"), ("SIGNING_ALGORITHM", "ES256")]).unwrap();
    assert_eq!(config.warnings().len(), 2);
}

#[test]
fn every_variable_is_documented_and_every_documented_one_is_read() {
    let mut env = Env::of(&[], &[]);
    let _ = Config::read(&mut env);
    let read: BTreeSet<&str> = env.asked().iter().copied().collect();
    let documented: BTreeSet<&str> = SECTIONS.iter().flat_map(|s| s.variables).map(|v| v.name).collect();
    assert_eq!(read, documented);
    let written = include_str!("../../../../docs/configuration.md");
    assert_eq!(
        written,
        docs::markdown(),
        "docs/configuration.md is out of date; run: grantex-server docs configuration"
    );
}

#[test]
fn documented_defaults_are_the_real_ones() {
    let defaults = load(&[]).unwrap();
    let stated: Vec<(&str, &str)> = SECTIONS
        .iter()
        .flat_map(|section| section.variables)
        .filter(|v| {
            !v.default.is_empty()
                && !v.default.contains(' ')
                && !v.default.contains("HOST:PORT")
                && v.name != "JWT_ISSUER"
        })
        .map(|variable| (variable.name, variable.default))
        .collect();
    let spelled_out = load(&stated).unwrap();
    assert_eq!(format!("{spelled_out:?}"), format!("{defaults:?}"));
}
