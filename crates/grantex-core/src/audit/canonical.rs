//! Canonical JSON: the exact bytes that audit hashes cover.
//!
//! Object members sorted by key as UTF-16 code units, no white space, strings escaped as ECMAScript `JSON.stringify` does,
//! numbers as ECMAScript prints doubles. What is hashed is also what is stored and served.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The canonical text of an object; `{}` for anything else.
pub fn object_text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(members) => object(members, &mut out),
        _ => out.push_str("{}"),
    }
    out
}

/// The canonical text of an object's members.
pub fn members_text(members: &Map<String, Value>) -> String {
    let mut out = String::new();
    object(members, &mut out);
    out
}

fn value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(n) => out.push_str(&number(n.as_f64().unwrap_or(0.0))),
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                self::value(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => object(members, out),
    }
}

fn object(members: &Map<String, Value>, out: &mut String) {
    let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (index, (key, member)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(key, out);
        out.push(':');
        value(member, out);
    }
    out.push('}');
}

/// Appends a JSON string: only `"`, `\` and code points below U+0020 are escaped.
pub fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A double as ECMAScript `Number::toString` prints it: the shortest digits that read back as the same double, plain between
/// 1e-6 and 1e21, with an exponent outside.
pub fn number(n: f64) -> String {
    if n == 0.0 || !n.is_finite() {
        return if n.is_finite() {
            "0".to_owned()
        } else {
            "null".to_owned()
        };
    }
    // Rust's exponent form has the shortest round-trip digits too: `-1.2345e-7`.
    let text = format!("{n:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // The position of the decimal point counted from the first digit: ECMA-262's `n`.
    let point = exponent + 1;
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    let split = |at: i32| digits.split_at(usize::try_from(at).unwrap_or(0));
    if count <= point && point <= 21 {
        return format!("{sign}{digits}{}", zeros(point - count));
    }
    if 0 < point && point <= 21 {
        let (whole, fraction) = split(point);
        return format!("{sign}{whole}.{fraction}");
    }
    if -6 < point && point <= 0 {
        return format!("{sign}0.{}{digits}", zeros(-point));
    }
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    let magnitude = exponent.unsigned_abs();
    if count == 1 {
        return format!("{sign}{digits}e{exponent_sign}{magnitude}");
    }
    let (whole, fraction) = split(1);
    format!("{sign}{whole}.{fraction}e{exponent_sign}{magnitude}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_print_as_ecmascript_does() {
        for (n, text) in [
            (1.0, "1"),
            (12.5, "12.5"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e21, "1.5e+21"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.25e-7, "1.25e-7"),
            (-123_456.789, "-123456.789"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (5e-324, "5e-324"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
            (123e-20, "1.23e-18"),
        ] {
            assert_eq!(number(n), text);
        }
    }

    #[test]
    fn members_are_sorted_by_utf16_code_units() {
        // U+1F600 is a surrogate pair (D83D…), hence before U+FF61 although its code point is higher.
        let value = json!({"\u{ff61}": 1, "\u{1f600}": 2, "b": [1, {"z": null, "a": true}], "a": "\u{1}\n/é"});
        assert_eq!(
            object_text(&value),
            "{\"a\":\"\\u0001\\n/é\",\"b\":[1,{\"a\":true,\"z\":null}],\"\u{1f600}\":2,\"\u{ff61}\":1}"
        );
    }

    proptest::proptest! {
        #[test]
        fn printed_numbers_read_back_as_the_same_double(n in proptest::num::f64::NORMAL) {
            proptest::prop_assert_eq!(number(n).parse::<f64>().ok(), Some(n));
        }
    }
}
