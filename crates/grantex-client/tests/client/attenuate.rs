//! Narrowing Biscuits.

use grantex_biscuit::narrow::read_unverified;
use grantex_client::{Attenuate, NarrowError, Secret, Timestamp};
use grantex_core::clock::Lifetime;
use proptest::prelude::*;

use crate::support::{ISSUING, root};

fn begin() -> Attenuate {
    Attenuate::new(&ISSUING.biscuit()).unwrap()
}

fn end() -> Timestamp {
    root().expires_at
}

fn refused(attenuate: Attenuate) -> Option<NarrowError> {
    attenuate.build().err()
}

#[test]
fn what_is_taken_away_is_what_the_block_says() {
    let earlier = end().minus(Lifetime::minutes(1));
    let token = begin()
        .scopes(["read"])
        .expires_at(earlier.plus(Lifetime::millis(999)))
        .audience("https://api.example")
        .ceiling(5_000, "EUR")
        .hand_to("did:web:sub.example")
        .build()
        .unwrap();
    assert_eq!(format!("{token:?}"), "Secret");
    let effective = ISSUING
        .biscuits
        .open(token.expose())
        .expect("the server understands it")
        .effective();
    assert_eq!(effective.scopes, ["read"]);
    assert_eq!(effective.expires_at, earlier);
    assert_eq!(effective.audience.as_deref(), Some("https://api.example"));
    assert_eq!((effective.ceilings[0].amount, effective.depth), (5_000, 1));
    assert_eq!(effective.agent_did, "did:web:sub.example");
    // And further.
    let further = Attenuate::new(token.expose())
        .unwrap()
        .ceiling(4_999, "EUR")
        .audience("https://api.example")
        .build();
    assert!(ISSUING.biscuits.open(further.unwrap().expose()).is_some());
}

#[test]
fn what_is_not_narrower_is_refused() {
    let narrowed = begin()
        .scopes(["read"])
        .audience("https://a.example")
        .ceiling(10, "EUR")
        .build()
        .unwrap();
    let again = |token: &Secret<String>| Attenuate::new(token.expose()).unwrap();
    let table = [
        ("nothing", begin(), NarrowError::Nothing),
        (
            "an unknown scope",
            begin().scopes(["read", "write"]),
            NarrowError::Scopes,
        ),
        (
            "a scope that was taken away",
            again(&narrowed).scopes(["payments:initiate:max_500"]),
            NarrowError::Scopes,
        ),
        ("no scope", begin().scopes(Vec::<String>::new()), NarrowError::Scopes),
        ("the same end", begin().expires_at(end()), NarrowError::End),
        (
            "a later end",
            begin().expires_at(end().plus(Lifetime::seconds(1))),
            NarrowError::End,
        ),
        (
            "an end before 1970",
            begin().expires_at(Timestamp::from_millis(-5_000)),
            NarrowError::End,
        ),
        (
            "another audience",
            again(&narrowed).audience("https://b.example"),
            NarrowError::Audience,
        ),
        (
            "the same ceiling",
            again(&narrowed).ceiling(10, "EUR"),
            NarrowError::Ceiling,
        ),
        (
            "a second currency",
            again(&narrowed).ceiling(5, "USD"),
            NarrowError::Ceiling,
        ),
        (
            "two currencies",
            begin().ceiling(5, "USD").ceiling(5, "EUR"),
            NarrowError::Ceiling,
        ),
        (
            "two ceilings",
            begin().ceiling(5, "EUR").ceiling(4, "EUR"),
            NarrowError::Ceiling,
        ),
        ("no DID", begin().hand_to("alice"), NarrowError::Agent),
        ("a DID with a space", begin().hand_to("did:web:a b"), NarrowError::Agent),
        (
            "a long text",
            begin().audience("x".repeat(1_025)),
            NarrowError::NotUnderstood,
        ),
        (
            "a scope twice",
            begin().scopes(["read", "read"]),
            NarrowError::NotUnderstood,
        ),
    ];
    for (what, attenuate, expected) in table {
        assert_eq!(refused(attenuate), Some(expected), "{what}");
    }
    for text in ["", "x", &ISSUING.token(), &"A".repeat(400_000)] {
        assert_eq!(Attenuate::new(text).err(), Some(NarrowError::Malformed));
    }
}

#[test]
fn a_token_has_sixteen_blocks_at_most() {
    let mut token = Secret::new(ISSUING.biscuit());
    for number in (0..16).rev() {
        token = Attenuate::new(token.expose())
            .unwrap()
            .ceiling(number, "EUR")
            .build()
            .unwrap();
    }
    assert!(ISSUING.biscuits.open(token.expose()).is_some());
    let one_more = Attenuate::new(token.expose()).unwrap().hand_to("did:web:x");
    assert_eq!(refused(one_more), Some(NarrowError::TooManyBlocks));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_chain_widens(steps in prop::collection::vec((prop::option::of(0_usize..3), prop::option::of(0_i64..4_000), prop::option::of(0_u64..9), any::<bool>()), 1..5)) {
        let mut token = Secret::new(ISSUING.biscuit());
        for (scopes, end, ceiling, is_handed) in steps {
            let before = read_unverified(token.expose()).unwrap().effective();
            let mut attenuate = Attenuate::new(token.expose()).unwrap();
            if let Some(kept) = scopes {
                attenuate = attenuate.scopes(["read", "payments:initiate:max_500"].into_iter().take(kept));
            }
            if let Some(seconds) = end {
                attenuate = attenuate.expires_at(root().issued_at.plus(Lifetime::seconds(seconds)));
            }
            if let Some(amount) = ceiling {
                attenuate = attenuate.ceiling(amount, "EUR");
            }
            if is_handed {
                attenuate = attenuate.hand_to("did:web:x");
            }
            let Ok(narrowed) = attenuate.build() else { continue };
            let after = ISSUING.biscuits.open(narrowed.expose()).unwrap().effective();
            prop_assert!(after.scopes.iter().all(|scope| before.scopes.contains(scope)));
            prop_assert!(after.expires_at <= before.expires_at && after.depth >= before.depth);
            prop_assert!(before.ceilings.iter().all(|old| after.ceilings.iter().any(|new| new.currency == old.currency && new.amount <= old.amount)));
            token = narrowed;
        }
    }
}
