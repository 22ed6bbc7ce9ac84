//! JSON, read more strictly than serde_json does: no member twice, no NUL in any text.

use std::fmt;

use actix_web::web::Bytes;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use crate::error::ApiError;

/// Reads a JSON object.
pub(crate) fn parse_object(bytes: &Bytes) -> Result<Map<String, Value>, ApiError> {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let parsed = Strict
        .deserialize(&mut parser)
        .and_then(|value| parser.end().map(|()| value));
    match parsed {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(ApiError::bad_request("the body must be a JSON object")),
        Err(_) => Err(explain(bytes)),
    }
}

/// Reads the body again to find where it is wrong; the good ones are not slowed down by keeping track.
fn explain(bytes: &Bytes) -> ApiError {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut parser, &mut track);
    match Strict.deserialize(tracked) {
        Ok(_) => ApiError::bad_request("the body must be one JSON object and nothing after it"),
        Err(error) => {
            let problem = if error.is_data() {
                expectation(&error)
            } else {
                "is not valid JSON".to_owned()
            };
            misfit(&track.path().to_string(), problem).into()
        }
    }
}

/// Reads a typed value out of an object; an error names the member.
pub(crate) fn typed<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, ApiError> {
    fitted(members).map_err(Into::into)
}

/// Why an object is not of its type.
pub(crate) struct Misfit {
    /// The member, when it can be named.
    pub(crate) path: Option<String>,
    /// What is wrong, to be read behind the member's name, or by itself when there is none.
    pub(crate) problem: String,
}

/// Reads a typed value out of an object, or tells why it is none.
pub(crate) fn fitted<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(Value::Object(members)).map_err(|error| {
        let path = error.path().to_string();
        misfit(&path, expectation(error.inner()))
    })
}

impl From<Misfit> for ApiError {
    fn from(misfit: Misfit) -> Self {
        match misfit.path {
            Some(path) => Self::field(&path, &misfit.problem),
            None => Self::bad_request(misfit.problem),
        }
    }
}

fn misfit(path: &str, problem: String) -> Misfit {
    // The text names a missing member itself; the path would name the object around it.
    if let Some((name, problem)) = problem.strip_prefix('`').and_then(|rest| rest.split_once("` ")) {
        return Misfit {
            path: Some(name.to_owned()),
            problem: problem.to_owned(),
        };
    }
    // A `?` stands for a member whose name was not read to its end.
    let path = path.trim_end_matches(['?', '.']);
    if path.is_empty() {
        return Misfit {
            path: None,
            problem: format!("the body {problem}"),
        };
    }
    // A client may choose any member name; the answer repeats only what looks like one.
    let is_plain = path.len() <= 200 && path.chars().all(|c| c.is_ascii_alphanumeric() || "._-[]".contains(c));
    if is_plain {
        Misfit {
            path: Some(path.to_owned()),
            problem,
        }
    } else {
        Misfit {
            path: None,
            problem: format!("a member of the body {problem}"),
        }
    }
}

/// What serde expected, without what it got: that may be a secret in the wrong place.
fn expectation(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // "… at line 1 column 7" is of no use in one line of JSON.
    let text = text.split(" at line ").next().unwrap_or_default();
    if let Some(name) = text.strip_prefix("missing field ") {
        return format!("{name} is required");
    }
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("must be {}", plain(expected)),
        None => text.to_owned(),
    }
}

/// serde's words in the words of JSON.
fn plain(expected: &str) -> &str {
    match expected {
        "a sequence" => "an array",
        "a map" => "an object",
        "a boolean" => "true or false",
        "i64" | "u32" => "a whole number",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

/// Builds a [`Value`] and refuses duplicate members and NUL.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("is a number out of range"))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        without_nul(value)?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        without_nul(&value)?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = entries.next_key::<Name>()? {
            let value = entries.next_value_seed(Self)?;
            if members.insert(name.0, value).is_some() {
                return Err(A::Error::custom("holds a member twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        without_nul(&name)?;
        Ok(Self(name))
    }
}

fn without_nul<E: serde::de::Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') {
        Err(E::custom("must not hold NUL"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn message(text: &'static str) -> String {
        parse_object(&Bytes::from_static(text.as_bytes()))
            .unwrap_err()
            .message
            .into_owned()
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[allow(dead_code, reason = "only its shape matters")]
    struct Shape {
        agent_id: String,
        scopes: Vec<String>,
    }

    fn shape(value: Value) -> String {
        typed::<Shape>(value.as_object().unwrap().clone())
            .unwrap_err()
            .message
            .into_owned()
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        for text in ["[]", "1", "\"x\"", "null"] {
            assert_eq!(message(text), "the body must be a JSON object", "{text}");
        }
        assert_eq!(
            message("{} {}"),
            "the body must be one JSON object and nothing after it"
        );
        assert_eq!(message("{"), "the body is not valid JSON");
        assert_eq!(message(r#"{"a":1,}"#), "the body is not valid JSON");
    }

    #[test]
    fn members_that_come_twice_are_refused_at_any_depth() {
        assert_eq!(message(r#"{"a":1,"a":1}"#), "the body holds a member twice");
        assert_eq!(
            message(r#"{"metadata":[{"x":{"a":1,"\u0061":2}}]}"#),
            "`metadata[0].x` holds a member twice"
        );
    }

    #[test]
    fn what_no_database_can_keep_is_refused() {
        assert_eq!(
            message(r#"{"metadata":{"a":"x\u0000"}}"#),
            "`metadata.a` must not hold NUL"
        );
        assert_eq!(message(r#"{"\u0000":1}"#), "a member of the body must not hold NUL");
        for text in [r#"{"a":"\ud800"}"#, r#"{"a":"\udc00x"}"#, r#"{"a":1e400}"#] {
            assert_eq!(message(text), "`a` is not valid JSON", "{text}");
        }
    }

    #[test]
    fn a_wrong_type_names_its_member_and_not_its_value() {
        assert_eq!(
            shape(serde_json::json!({"agentId": 1, "scopes": []})),
            "`agentId` must be a string"
        );
        assert_eq!(
            shape(serde_json::json!({"agentId": "a", "scopes": "secret, expected x"})),
            "`scopes` must be an array"
        );
        assert_eq!(
            shape(serde_json::json!({"agentId": "a", "scopes": ["x", {}]})),
            "`scopes[1]` must be a string"
        );
        assert_eq!(shape(serde_json::json!({"scopes": []})), "`agentId` is required");
        assert_eq!(
            shape(serde_json::json!({"agentId": null, "scopes": []})),
            "`agentId` must be a string"
        );
    }
}
