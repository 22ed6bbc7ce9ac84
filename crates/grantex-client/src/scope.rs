//! What a scope covers.
//!
//! Scopes are compared literally, but for one form: `payments:initiate:max_500` allows what `payments:initiate` allows, up to 500 each
//! time. Any scope may end in `:max_` and up to 15 digits.

const CAP: &str = ":max_";

/// The digits that a cap may have.
const DIGITS: usize = 15;

/// A scope that is capped: what it allows, and up to which amount each time.
///
/// ```
/// assert_eq!(grantex_client::cap_of("payments:initiate:max_500"), Some(("payments:initiate", 500)));
/// assert_eq!(grantex_client::cap_of("payments:initiate"), None);
/// ```
pub fn cap_of(scope: &str) -> Option<(&str, u64)> {
    let (base, digits) = scope.rsplit_once(CAP)?;
    let is_number = (1..=DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !base.is_empty()).then_some((base, digits.parse().ok()?))
}

/// Whether one granted scope covers a required one: it is the same, or allows as much without a cap or with a cap at least as high.
pub(crate) fn covers(granted: &str, required: &str) -> bool {
    if granted == required {
        return true;
    }
    cap_of(required).is_some_and(|(base, amount)| covers_amount(granted, base, amount))
}

/// Whether one granted scope allows `base` up to this amount.
pub(crate) fn covers_amount(granted: &str, base: &str, amount: u64) -> bool {
    granted == base || cap_of(granted).is_some_and(|(of, cap)| of == base && amount <= cap)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cap_covers_what_is_not_above_it() {
        assert!(covers_amount("payments:initiate:max_500", "payments:initiate", 500));
        assert!(!covers_amount("payments:initiate:max_500", "payments:initiate", 501));
        assert!(covers_amount("payments:initiate", "payments:initiate", u64::MAX));
        assert!(!covers_amount("payments:read", "payments:initiate", 0));
        assert!(covers("payments:initiate:max_500", "payments:initiate:max_100"));
        assert!(!covers("payments:initiate:max_100", "payments:initiate:max_500"));
        assert!(covers("payments:initiate", "payments:initiate:max_500"));
        assert!(
            !covers("payments:initiate:max_500", "payments:initiate"),
            "without an amount there is no bound"
        );
    }

    #[test]
    fn what_is_no_cap_is_compared_literally() {
        for scope in [
            ":max_5",
            "a:max_",
            "a:max_5x",
            "a:max_-5",
            "a:max_+5",
            "a:max_1234567890123456",
            "a:max_٣",
            "a:max_5:b",
        ] {
            assert_eq!(cap_of(scope), None, "{scope}");
            assert!(covers(scope, scope) && !covers("a", scope));
        }
        assert_eq!(cap_of("a:max_1:max_2"), Some(("a:max_1", 2)));
    }

    proptest! {
        #[test]
        fn covering_is_transitive(caps in prop::collection::vec(prop::option::of(0_u64..4), 3)) {
            let scopes: Vec<String> = caps.iter().map(|cap| cap.map_or_else(|| "s".to_owned(), |cap| format!("s:max_{cap}"))).collect();
            if covers(&scopes[0], &scopes[1]) && covers(&scopes[1], &scopes[2]) {
                prop_assert!(covers(&scopes[0], &scopes[2]));
            }
        }

        #[test]
        fn no_scope_panics(granted in ".{0,40}", required in ".{0,40}") {
            prop_assert_eq!(covers(&granted, &required), granted == required || cap_of(&required).is_some_and(|(base, amount)| covers_amount(&granted, base, amount)));
        }
    }
}
