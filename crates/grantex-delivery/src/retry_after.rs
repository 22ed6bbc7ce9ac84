//! `Retry-After` (RFC 9110 §10.2.3).

use std::time::{Duration, UNIX_EPOCH};

use grantex_core::clock::Timestamp;

/// The longest delay that a receiver can ask for; a longer wish counts as this.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The delay from `now` that a field value asks for: seconds, or a date in one of HTTP's three forms. A date that has passed is
/// no delay.
pub(crate) fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if value.is_empty() {
        return None;
    }
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        // What overflows is absurdly long, and still a number of seconds.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let at = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    Some(at.saturating_sub(now).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1994-11-06T08:49:07.250Z, half a minute before RFC 9110's example.
    const NOW: Timestamp = Timestamp::from_millis(784_111_747_250);

    #[test]
    fn seconds_and_dates_are_delays() {
        let seconds = |count| Some(Duration::from_secs(count));
        for (value, expected) in [
            ("0", seconds(0)),
            ("120", seconds(120)),
            (" 120\t", seconds(120)),
            ("0000000000000000000000000120", seconds(120)),
            ("86400", seconds(86_400)),
            ("86401", seconds(86_400)),
            ("18446744073709551616", seconds(86_400)),
            ("99999999999999999999999999999999", seconds(86_400)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::from_millis(29_750))),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(Duration::from_millis(29_750))),
            ("Sun Nov  6 08:49:37 1994", Some(Duration::from_millis(29_750))),
            ("Sun, 06 Nov 1994 08:49:07 GMT", seconds(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", seconds(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", seconds(86_400)),
        ] {
            assert_eq!(parse(value, NOW), expected, "{value}");
        }
    }

    #[test]
    fn anything_else_is_no_delay() {
        for value in [
            "",
            " ",
            "-1",
            "+1",
            "1.5",
            "1e3",
            "0x10",
            "1 2",
            "soon",
            "٣",
            "120s",
            "1994-11-06T08:49:37Z",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 32 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(value, NOW), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_value_asks_for_longer_than_the_longest(value in ".{0,64}", now: i64) {
            prop_assert!(parse(&value, Timestamp::from_millis(now)).is_none_or(|delay| delay <= LONGEST));
        }
    }
}
