//! What is true of every command: settings, failures, colours, secrets.

use std::net::TcpListener;

use crate::support::{Directory, Ended, Service, command, run};

#[test]
fn completions_are_scripts_of_their_shells() {
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef grantex"),
        ("fish", "complete -c grantex"),
    ] {
        let script = run(&["completions", shell], "").good();
        assert!(script.contains(sign) && script.contains("attenuate"), "{shell}");
    }
    assert_eq!(run(&["completions", "tcsh"], "").code, 2);
}

#[test]
fn settings_that_are_missing_are_named() {
    let said = run(&["grants", "list"], "").bad(2);
    assert!(said.contains("GRANTEX_URL"), "{said}");
    let said = run(&["grants", "list", "--url", "https://auth.example"], "").bad(2);
    assert!(said.contains("GRANTEX_API_KEY"), "{said}");
    let said = run(&["grants", "list", "--url", "http://user:canary@auth.example"], "").bad(2);
    assert!(said.contains("credentials") && !said.contains("canary"), "{said}");
    let said = run(&["token", "verify", "--issuer", "http://auth.example"], "e30.e30.e30").bad(2);
    assert!(said.contains("--insecure-http"), "{said}");
    assert_eq!(run(&[], "").code, 2);
}

#[test]
fn a_key_may_stand_in_a_file() {
    let service = Service::start();
    let directory = Directory::new();
    let file = directory.file("key", &format!("{}\n", service.key));
    let mut listing = command(&["grants", "list", "--json", "--url", &service.url]);
    listing.env("GRANTEX_API_KEY_FILE", &file);
    assert_eq!(Ended::of(listing, "").code, 0);
    let mut listing = service.command(&["grants", "list", "--api-key-file", "/nowhere/key"]);
    listing.env_remove("GRANTEX_API_KEY");
    let said = Ended::of(listing, "").bad(2);
    assert!(said.contains("/nowhere/key"), "{said}");
}

#[test]
fn a_key_where_the_name_of_its_file_belongs_is_not_repeated() {
    for key in ["gx_live_canary", "Bearer gx_test_canary", " gx_live_canary\n"] {
        let mut by_variable = command(&["grants", "list", "--url", "https://auth.example"]);
        by_variable.env("GRANTEX_API_KEY_FILE", key);
        let mut by_option = command(&["grants", "list", "--api-key-file", key]);
        by_option.env("GRANTEX_URL", "https://auth.example");
        for listing in [by_variable, by_option] {
            let said = Ended::of(listing, "").bad(2);
            assert!(said.contains("is the name of a file, not the key"), "{said}");
            assert!(!said.contains("canary"), "{said}");
        }
        let mut help = command(&["grants", "list", "--help"]);
        help.env("GRANTEX_API_KEY_FILE", key);
        assert!(!Ended::of(help, "").good().contains("canary"));
    }
}

#[test]
fn a_key_where_another_file_is_named_is_not_repeated() {
    let service = Service::start();
    for arguments in [
        &["audit", "export", "--output", "gx_live_canary"][..],
        &["grants", "list", "--ca-file", "gx_live_canary"],
    ] {
        let said = service.run(arguments).bad(2);
        assert!(
            said.contains("does not belong on the command line") && !said.contains("canary"),
            "{said}"
        );
    }
}

#[test]
fn a_wrong_key_is_refused_and_never_told() {
    let service = Service::start();
    for key in ["canary-key-0123456789", "canary\nkey-0123456789"] {
        let mut listing = service.command(&["grants", "list", "--json"]);
        listing.env("GRANTEX_API_KEY", key);
        let ended = Ended::of(listing, "");
        assert!(matches!(ended.code, 2 | 3), "{ended:?}");
        assert!(!ended.err.contains("canary") && ended.out.is_empty(), "{ended:?}");
    }
}

#[test]
fn a_service_that_does_not_answer_is_not_waited_for() {
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut listing = command(&["grants", "list", "--deadline", "1s"]);
    listing
        .env("GRANTEX_URL", format!("http://{}", silent.local_addr().unwrap()))
        .env("GRANTEX_API_KEY", "key-0123456789abcdef");
    assert!(Ended::of(listing, "").bad(4).contains("in time"));
    let gone = format!(
        "http://{}",
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    );
    let said = run(&["token", "verify", "--issuer", &gone], "e30.e30.e30").bad(4);
    assert!(said.contains("cannot be reached"), "{said}");
}

#[test]
fn colours_are_for_terminals_or_for_who_asks() {
    let service = Service::start();
    let coloured = |arguments: &[&str]| service.run(arguments).good().contains('\u{1b}');
    assert!(!coloured(&["grants", "list"]));
    assert!(coloured(&["grants", "list", "--color", "always"]));
    assert!(!coloured(&["grants", "list", "--color", "always", "--json"]));
    assert!(!coloured(&["grants", "list", "--color", "never"]));
}
