//! Narrowing a token: one more block, made by whoever holds it, without asking anybody.

use biscuit_auth::builder::{Binary, Check, CheckKind, Expression, Op, Predicate, Rule, Term, fact};
use biscuit_auth::{BlockBuilder, UnverifiedBiscuit};
use grantex_core::clock::Timestamp;
use grantex_core::secret::Secret;
use grantex_core::token::biscuit::{Ceiling, Chain, Effective, Narrowing};

use crate::open::Parsed;
use crate::outline::MAX_BLOCKS;
use crate::words;

/// Why a token was not narrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NarrowError {
    /// The text is no token that a server of this project would open.
    #[error("the token is none that can be narrowed")]
    Malformed,
    /// It has as many blocks as a token may have.
    #[error("a token has at most {MAX_BLOCKS} blocks after the first")]
    TooManyBlocks,
    /// Nothing is taken away.
    #[error("nothing is taken away")]
    Nothing,
    /// A scope is not among those of the token, or none is left.
    #[error("the scopes are not among those of the token")]
    Scopes,
    /// The end is not before that of the token, or no whole second after 1970.
    #[error("the end is not before that of the token")]
    End,
    /// The token is for another audience.
    #[error("the token is for another audience")]
    Audience,
    /// The ceiling is not below that of the token, is negative, or is in another currency than the one the token has.
    #[error("the ceiling does not lower what may be spent")]
    Ceiling,
    /// The agent's DID does not begin with `did:`, or holds what no DID may hold.
    #[error("the agent must be named by a DID")]
    Agent,
    /// The block would not be read as what it is meant to say; a text in it is too long, for example.
    #[error("the block would not be understood")]
    NotUnderstood,
}

/// What a token says, whoever signed it. Nothing of it is verified: of use to its holder only.
pub fn read_unverified(token: &str) -> Option<Chain> {
    Parsed::of(token)?.chain()
}

/// Appends one block. Each member that `by` has must take something away from what the token allows, or hand it to an agent;
/// the token that comes back was read again, and says exactly that.
///
/// # Errors
/// When anything would not be narrower, so that a mistake does not go unnoticed: verifiers would enforce the intersection anyway.
pub fn narrow(token: &str, by: &Narrowing) -> Result<Secret<String>, NarrowError> {
    let chain = read_unverified(token).ok_or(NarrowError::Malformed)?;
    if chain.blocks.len() >= MAX_BLOCKS {
        return Err(NarrowError::TooManyBlocks);
    }
    judge(&chain.effective(), by)?;
    let token = UnverifiedBiscuit::from_base64(token).map_err(|_| NarrowError::Malformed)?;
    let block = block(by).map_err(|_| NarrowError::NotUnderstood)?;
    let narrowed = token.append(block).map_err(|_| NarrowError::Malformed)?;
    let narrowed = Secret::new(narrowed.to_base64().map_err(|_| NarrowError::Malformed)?);
    let said =
        read_unverified(narrowed.expose()).and_then(|chain| chain.blocks.last().map(|block| block.narrowing.clone()));
    if said.as_ref() == Some(by) {
        Ok(narrowed)
    } else {
        Err(NarrowError::NotUnderstood)
    }
}

/// Whether each member takes something away.
fn judge(whole: &Effective, by: &Narrowing) -> Result<(), NarrowError> {
    if *by == Narrowing::default() {
        return Err(NarrowError::Nothing);
    }
    if let Some(scopes) = &by.scopes
        && (scopes.is_empty() || !scopes.iter().all(|scope| whole.scopes.contains(scope)))
    {
        return Err(NarrowError::Scopes);
    }
    if let Some(end) = by.expires_at
        && (end >= whole.expires_at || end.as_millis() < 0 || end != end.floor_to_second())
    {
        return Err(NarrowError::End);
    }
    // Naming the audience once more takes nothing away and does no harm; a second one would mean nobody.
    let is_audience_kept = whole.audience.is_none() || by.audience.is_none() || whole.audience == by.audience;
    if by.is_for_nobody || !is_audience_kept {
        return Err(NarrowError::Audience);
    }
    let has_double = |ceiling: &Ceiling| {
        by.ceilings
            .iter()
            .filter(|other| other.currency == ceiling.currency)
            .count()
            > 1
    };
    for ceiling in &by.ceilings {
        let is_lower = match whole.ceilings.iter().find(|known| known.currency == ceiling.currency) {
            Some(known) => ceiling.amount < known.amount,
            None => whole.ceilings.is_empty() && by.ceilings.len() == 1,
        };
        if !is_lower || ceiling.amount < 0 || has_double(ceiling) {
            return Err(NarrowError::Ceiling);
        }
    }
    let is_did = |did: &String| did.starts_with("did:") && did.bytes().all(|byte| byte.is_ascii_graphic());
    if by.agent_did.as_ref().is_some_and(|did| !is_did(did)) {
        return Err(NarrowError::Agent);
    }
    Ok(())
}

/// The forms of docs/biscuit.md.
fn block(by: &Narrowing) -> Result<BlockBuilder, biscuit_auth::error::Token> {
    let mut block = BlockBuilder::new();
    if let Some(scopes) = &by.scopes {
        // In the order that was given: a set would be read in another.
        let list = Term::Array(scopes.iter().map(|scope| text(scope)).collect());
        let contained = vec![
            Op::Value(list),
            Op::Value(variable("scope")),
            Op::Binary(Binary::Contains),
        ];
        block = block.check(check(words::OPERATION, vec![variable("scope")], Some(contained)))?;
    }
    if let Some(end) = by.expires_at {
        let before = vec![
            Op::Value(variable("time")),
            Op::Value(date(end)),
            Op::Binary(Binary::LessThan),
        ];
        block = block.check(check(words::TIME, vec![variable("time")], Some(before)))?;
    }
    if let Some(audience) = &by.audience {
        block = block.check(check(words::AUDIENCE, vec![text(audience)], None))?;
    }
    for ceiling in &by.ceilings {
        let amount = Op::Value(Term::Integer(ceiling.amount));
        let kept = vec![Op::Value(variable("amount")), amount, Op::Binary(Binary::LessOrEqual)];
        let terms = vec![variable("amount"), text(&ceiling.currency)];
        block = block.check(check(words::SPEND, terms, Some(kept)))?;
    }
    if let Some(did) = &by.agent_did {
        block = block.fact(fact(words::AGENT, &[text(did)]))?;
    }
    Ok(block)
}

fn check(name: &str, terms: Vec<Term>, expression: Option<Vec<Op>>) -> Check {
    let predicate = |name: &str, terms| Predicate {
        name: name.to_owned(),
        terms,
    };
    let expressions = expression.into_iter().map(|ops| Expression { ops }).collect();
    Check {
        queries: vec![Rule::new(
            predicate("query", Vec::new()),
            vec![predicate(name, terms)],
            expressions,
            Vec::new(),
        )],
        kind: CheckKind::One,
    }
}

fn variable(name: &str) -> Term {
    Term::Variable(name.to_owned())
}

fn text(text: &str) -> Term {
    Term::Str(text.to_owned())
}

fn date(at: Timestamp) -> Term {
    Term::Date(u64::try_from(at.as_seconds()).unwrap_or(0))
}
