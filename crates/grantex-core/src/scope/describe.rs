//! What a scope means, in words for the person who is asked.

/// The well-known scopes and what they let an agent do.
const KNOWN: &[(&str, &str)] = &[
    ("calendar:read", "See your calendar events"),
    ("calendar:write", "Create, change and delete your calendar events"),
    ("email:read", "Read your e-mail"),
    ("email:send", "Send e-mail in your name"),
    ("email:delete", "Delete your e-mail"),
    ("files:read", "Read your files"),
    ("files:write", "Create, change and delete your files"),
    ("contacts:read", "See your contacts"),
    ("contacts:write", "Create, change and delete your contacts"),
    ("payments:read", "See your payments and balances"),
    ("payments:initiate", "Make payments from your account"),
    ("profile:read", "See your profile"),
    ("orders:read", "See your orders"),
    ("orders:create", "Place orders in your name"),
    ("travel:book", "Book travel in your name"),
];

const CAPPED_PAYMENTS: &str = "payments:initiate:max_";

/// Whether the scope is none that this server can put into words.
pub fn is_custom(scope: &str) -> bool {
    known(scope).is_none()
}

/// One sentence for the consent page. A scope that is not well known reads "Custom permission: …" with the scope itself.
pub fn describe(scope: &str) -> String {
    known(scope).unwrap_or_else(|| format!("Custom permission: {scope}"))
}

fn known(scope: &str) -> Option<String> {
    if let Some((_, sentence)) = KNOWN.iter().find(|(name, _)| *name == scope) {
        return Some((*sentence).to_owned());
    }
    let limit = scope.strip_prefix(CAPPED_PAYMENTS)?;
    let is_number = !limit.is_empty() && limit.len() <= 15 && limit.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("Make payments of up to {limit} each from your account"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_scopes_are_sentences_and_others_are_marked_as_custom() {
        assert_eq!(describe("email:send"), "Send e-mail in your name");
        assert_eq!(
            describe("payments:initiate:max_500"),
            "Make payments of up to 500 each from your account"
        );
        assert_eq!(
            describe("payments:initiate:max_"),
            "Custom permission: payments:initiate:max_"
        );
        assert_eq!(describe("acme:frobnicate"), "Custom permission: acme:frobnicate");
        assert!(is_custom("read") && !is_custom("files:read"));
    }
}
