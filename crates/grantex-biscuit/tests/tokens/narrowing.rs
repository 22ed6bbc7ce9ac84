//! No block widens what a token allows, and what is recognised here is what Datalog enforces.

use std::time::Duration;

use biscuit_auth::{AuthorizerBuilder, AuthorizerLimits};
use grantex_core::token::biscuit::Effective;
use proptest::prelude::*;

use crate::support::{END, Issuer, append, covers};

const SCOPES: [&str; 5] = ["a", "b", "c", "read", "never granted"];

/// Datalog of one later block.
fn block() -> impl Strategy<Value = String> {
    let scope = || prop::sample::select(SCOPES.to_vec());
    let statement = prop_oneof![
        prop::collection::btree_set(scope(), 1..4).prop_map(|set| {
            let set: Vec<String> = set.iter().map(|scope| format!("{scope:?}")).collect();
            format!("check if operation($o), {{{}}}.contains($o);", set.join(", "))
        }),
        prop::collection::vec(scope(), 1..4).prop_map(|list| format!("check if operation($o), {list:?}.contains($o);")),
        (scope(), scope()).prop_map(|(one, other)| format!("check if operation({one:?}) or operation({other:?});")),
        (0..4_u8, prop::bool::ANY).prop_map(|(hour, is_included)| {
            let compared = if is_included { "<=" } else { "<" };
            format!("check if time($t), $t {compared} 2029-12-31T2{hour}:00:00Z;")
        }),
        prop::sample::select(vec!["one", "two"]).prop_map(|name| format!("check if audience({name:?});")),
        (-1..4_i64, prop::sample::select(vec!["EUR", "USD"]))
            .prop_map(|(amount, currency)| { format!("check if spend($n, {currency:?}), $n <= {amount};") }),
    ];
    let agent = prop::option::of(Just("agent(\"did:web:sub.example\");".to_owned()));
    (prop::collection::vec(statement, 0..4), agent)
        .prop_map(|(checks, agent)| checks.join(" ") + &agent.unwrap_or_default())
}

/// One thing that a holder might want to do.
#[derive(Debug, Clone)]
struct Wish {
    scope: &'static str,
    seconds: i64,
    audience: &'static str,
    amount: i64,
    currency: &'static str,
}

fn wish() -> impl Strategy<Value = Wish> {
    (
        prop::sample::select(SCOPES.to_vec()),
        END - 5 * 3_600..END + 3_600,
        prop::sample::select(vec!["one", "two", "three"]),
        0..4_i64,
        prop::sample::select(vec!["EUR", "USD"]),
    )
        .prop_map(|(scope, seconds, audience, amount, currency)| Wish {
            scope,
            seconds,
            audience,
            amount,
            currency,
        })
}

/// What this server concludes.
fn is_allowed(effective: &Effective, wish: &Wish) -> bool {
    effective.scopes.iter().any(|scope| scope == wish.scope)
        && effective.expires_at.as_seconds() > wish.seconds
        && !effective.is_for_nobody
        && effective
            .audience
            .as_deref()
            .is_none_or(|audience| audience == wish.audience)
        && effective
            .ceilings
            .iter()
            .all(|ceiling| ceiling.currency == wish.currency && wish.amount <= ceiling.amount)
}

/// What any Biscuit verifier concludes that follows the document.
fn is_authorized(issuer: &Issuer, token: &str, wish: &Wish) -> bool {
    let facts = format!(
        r#"operation({:?}); audience({:?}); spend({}, {:?}); allow if operation($o), scope($o);"#,
        wish.scope, wish.audience, wish.amount, wish.currency
    );
    let time = biscuit_auth::builder::fact(
        "time",
        &[biscuit_auth::builder::Term::Date(u64::try_from(wish.seconds).unwrap())],
    );
    // Runs on a loaded machine: the time is no part of what is tested here.
    let limits = AuthorizerLimits {
        max_facts: 1_000,
        max_iterations: 100,
        max_time: Duration::from_secs(60),
    };
    let builder = AuthorizerBuilder::new()
        .code(facts)
        .unwrap()
        .fact(time)
        .unwrap()
        .set_limits(limits);
    builder.build(&issuer.parsed(token)).unwrap().authorize().is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_block_widens_and_datalog_agrees(blocks in prop::collection::vec(block(), 0..5), wishes in prop::collection::vec(wish(), 6)) {
        let issuer = Issuer::shared();
        let mut token = issuer.token();
        let mut before = issuer.open(&token).unwrap().effective();
        for datalog in &blocks {
            token = append(&token, datalog);
            let after = issuer.open(&token).unwrap().effective();
            prop_assert!(covers(&before, &after), "{datalog}: {before:?} became {after:?}");
            before = after;
        }
        for wish in &wishes {
            prop_assert_eq!(is_allowed(&before, wish), is_authorized(issuer, &token, wish), "{:?} {:?}", blocks, wish);
        }
    }
}
