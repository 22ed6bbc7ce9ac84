//! Conditional requests (RFC 9110 §13).

use actix_web::http::header::{HeaderMap, IF_NONE_MATCH};

/// Whether the client already has the representation with this tag, by its `If-None-Match`. Compares weakly.
pub(crate) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let wanted = tag.trim_start_matches("W/");
    headers
        .get_all(IF_NONE_MATCH)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim() == "*" || opaque(known) == wanted)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let knows = |value: &'static str| {
            is_known(
                TestRequest::get()
                    .insert_header((IF_NONE_MATCH, value))
                    .to_http_request()
                    .headers(),
                "W/\"a\"",
            )
        };
        assert!(knows("\"a\"") && knows("W/\"a\"") && knows("\"x\", W/\"a\"") && knows("*"));
        assert!(!knows("\"b\"") && !knows("a") && !knows(""));
        assert!(!is_known(TestRequest::get().to_http_request().headers(), "\"a\""));
    }
}
