//! Percent-decoding that refuses what it cannot represent.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::error::ApiError;

/// Decodes `%xx`; `None` when the result is not UTF-8 or holds a NUL. A `%` without two hex digits stands for itself.
pub(crate) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || byte == 0) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, tail @ ..]) => nibble(*high)
                .zip(nibble(*low))
                .map(|(high, low)| (high << 4 | low, tail)),
            _ => None,
        };
        let (byte, tail) = escaped.unwrap_or((first, after));
        bytes.push(byte);
        rest = tail;
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then_some(Cow::Owned(text))
}

/// Decodes a value of a query string or form, where `+` is a space.
fn decode_value(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        decode(&text.replace('+', " ")).map(|text| Cow::Owned(text.into_owned()))
    } else {
        decode(text)
    }
}

/// The pairs of a query string or form, in order; `Err` names the parameter whose value cannot be read.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), ApiError>> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name =
            decode_value(name).ok_or_else(|| ApiError::bad_request("a parameter's name is not valid UTF-8 text"))?;
        let value = decode_value(value).ok_or_else(|| ApiError::field(&name, "must be UTF-8 text without NUL"))?;
        Ok((name, value))
    })
}

/// A form as an object of strings. A parameter may come once (RFC 6749 §3.2).
pub(crate) fn decode_form(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ApiError::bad_request("the form is not valid UTF-8 text"))?;
    let mut members = Map::new();
    for pair in pairs(text) {
        let (name, value) = pair?;
        if members
            .insert(name.clone().into_owned(), Value::String(value.into_owned()))
            .is_some()
        {
            return Err(ApiError::field(&name, "must not be repeated"));
        }
    }
    Ok(members)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        for (text, decoded) in [
            ("a%2Fb", "a/b"),
            ("%C3%BC", "ü"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("%2541", "%41"),
            ("a+b", "a+b"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(decoded), "{text}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for text in ["%00", "a%00b", "%ff", "%C3", "%ED%A0%80"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn forms_are_objects_of_strings() {
        let form = decode_form(b"grant_type=authorization_code&code=a%2Bb+c&empty=").unwrap();
        assert_eq!(
            Value::Object(form),
            serde_json::json!({"grant_type": "authorization_code", "code": "a+b c", "empty": ""})
        );
        assert_eq!(decode_form(b"a=1&a=2").unwrap_err().message, "`a` must not be repeated");
        assert_eq!(
            decode_form(b"a=%00").unwrap_err().message,
            "`a` must be UTF-8 text without NUL"
        );
    }
}
