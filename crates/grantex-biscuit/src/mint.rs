//! The first block.

use biscuit_auth::builder::{Binary, Check, CheckKind, Expression, Op, Predicate, Rule, Term, fact};
use biscuit_auth::{Biscuit, BiscuitBuilder, error};
use grantex_core::clock::Timestamp;
use grantex_core::secret::Secret;
use grantex_core::token::biscuit::Root;

use crate::RootKey;
use crate::words;

pub(crate) fn mint(key: &RootKey, root: &Root) -> Result<Secret<String>, error::Token> {
    let mut builder = Biscuit::builder().root_key_id(key.number);
    for (name, value) in [
        (words::ISSUER, text(&root.issuer)),
        (words::TOKEN, text(root.token_id.as_str())),
        (words::GRANT, text(root.grant_id.as_str())),
        (words::DEVELOPER, text(root.developer_id.as_str())),
        (words::PRINCIPAL, text(&root.principal_id)),
        (words::AGENT, text(&root.agent_did)),
        (words::ISSUED, date(root.issued_at)),
        (words::EXPIRES, date(root.expires_at)),
        (words::DEPTH, Term::Integer(i64::from(root.depth))),
    ] {
        builder = builder.fact(fact(name, &[value]))?;
    }
    for scope in &root.scopes {
        builder = builder.fact(fact(words::SCOPE, &[text(scope)]))?;
    }
    if let Some(parent) = &root.parent_grant_id {
        builder = builder.fact(fact(words::PARENT, &[text(parent.as_str())]))?;
    }
    builder = checks(builder, root)?;
    let token = builder.build(&key.pair)?;
    token.to_base64().map(Secret::new)
}

/// Says again, as checks, what every verifier must enforce, so that none can forget to look at the facts.
fn checks(mut builder: BiscuitBuilder, root: &Root) -> Result<BiscuitBuilder, error::Token> {
    let variable = || Term::Variable("time".to_owned());
    let until = Expression {
        ops: vec![
            Op::Value(variable()),
            Op::Value(date(root.expires_at)),
            Op::Binary(Binary::LessThan),
        ],
    };
    builder = builder.check(check_if(words::TIME, variable(), vec![until]))?;
    if let Some(audience) = &root.audience {
        builder = builder.fact(fact(words::BOUND_TO, &[text(audience)]))?;
        builder = builder.check(check_if(words::AUDIENCE, text(audience), Vec::new()))?;
    }
    Ok(builder)
}

fn check_if(name: &str, term: Term, expressions: Vec<Expression>) -> Check {
    let predicate = |name: &str, terms| Predicate {
        name: name.to_owned(),
        terms,
    };
    let query = Rule::new(
        predicate("query", Vec::new()),
        vec![predicate(name, vec![term])],
        expressions,
        Vec::new(),
    );
    Check {
        queries: vec![query],
        kind: CheckKind::One,
    }
}

fn text(text: &str) -> Term {
    Term::Str(text.to_owned())
}

fn date(at: Timestamp) -> Term {
    Term::Date(u64::try_from(at.as_seconds()).unwrap_or(0))
}
