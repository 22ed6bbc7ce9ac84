//! What blocks say. The first block holds facts; a later one holds, any number of times and in any order:
//!
//! ```text
//! check if operation("calendar:read");                                   only this scope
//! check if operation($o), {"calendar:read", "mail:read"}.contains($o);   only these; an array will do as well
//! check if operation("a") or operation("b");                             only these
//! check if time($t), $t < 2026-07-01T00:00:00Z;                          until then; `<=` will do as well
//! check if audience("https://api.example.com");                          for this audience
//! check if spend($amount, "EUR"), $amount <= 5000;                       no more than that; `<` will do as well
//! agent("did:grantex:ag_…");                                             handed to this agent; once a block
//! ```
//!
//! Names of variables do not matter. Everything else is refused: other facts and checks, rules, and `trusting`.

use std::collections::BTreeSet;

use biscuit_auth::datalog::SymbolTable;
use biscuit_auth::format::schema::op_binary::Kind;
use biscuit_auth::format::schema::{Block, Check, Expression, Predicate, Rule, Term, check, op, term};
use grantex_core::clock::Timestamp;
use grantex_core::id::{DeveloperId, GrantId, TokenId};
use grantex_core::token::biscuit::{Ceiling, Narrowing, Root, lower};

use crate::words;

/// Bytes of a scope, a DID, a currency or an audience at most, in later blocks.
const MAX_TEXT: usize = 1_024;
/// Versions of blocks (Biscuit's specification, 3.0 to 3.3).
const VERSIONS: std::ops::RangeInclusive<u32> = 3..=6;
/// Where the symbols of a token begin, after those that everybody knows.
const OFFSET: u64 = 1_024;

/// The texts of a token, by number: those of all blocks so far.
#[derive(Default)]
pub(crate) struct Symbols(Vec<String>);

impl Symbols {
    /// Adds a block's symbols; `None` when the block is of a version that nobody knows.
    pub(crate) fn extend(&mut self, block: &Block) -> Option<()> {
        if !VERSIONS.contains(&block.version?) || !block.public_keys.is_empty() || !block.scope.is_empty() {
            return None;
        }
        self.0.extend(block.symbols.iter().cloned());
        Some(())
    }

    fn get(&self, number: u64) -> Option<&str> {
        match number.checked_sub(OFFSET) {
            Some(own) => self.0.get(usize::try_from(own).ok()?).map(String::as_str),
            None => well_known(number),
        }
    }
}

fn well_known(number: u64) -> Option<&'static str> {
    static TABLE: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
        let table = SymbolTable::new();
        (0..OFFSET)
            .map_while(|number| table.get_symbol(number).map(str::to_owned))
            .collect()
    });
    TABLE.get(usize::try_from(number).ok()?).map(String::as_str)
}

/// Reads the first block. It is this server's, so what is missing or doubled means that the token is of another kind.
pub(crate) fn root(block: &Block, symbols: &Symbols) -> Option<Root> {
    let of = |name: &'static str| {
        block.facts.iter().filter_map(move |fact| match &*fact.predicate.terms {
            [only] if symbols.get(fact.predicate.name) == Some(name) => Some(only),
            _ => None,
        })
    };
    let one = |name| {
        let mut found = of(name);
        found.next().filter(|_| found.next().is_none())
    };
    let text = |name| one(name).and_then(|term| string(term, symbols));
    let time = |name| one(name).and_then(date);
    let scopes: Option<Vec<String>> = of(words::SCOPE)
        .map(|term| string(term, symbols).map(str::to_owned))
        .collect();
    Some(Root {
        issuer: text(words::ISSUER)?.to_owned(),
        token_id: TokenId::parse(text(words::TOKEN)?)?,
        grant_id: GrantId::parse(text(words::GRANT)?)?,
        developer_id: DeveloperId::parse(text(words::DEVELOPER)?)?,
        principal_id: text(words::PRINCIPAL)?.to_owned(),
        agent_did: text(words::AGENT)?.to_owned(),
        scopes: scopes?,
        audience: text(words::BOUND_TO).map(str::to_owned),
        issued_at: time(words::ISSUED)?,
        expires_at: time(words::EXPIRES)?,
        depth: u32::try_from(integer(one(words::DEPTH)?)?).ok()?,
        parent_grant_id: match text(words::PARENT) {
            Some(parent) => Some(GrantId::parse(parent)?),
            None => None,
        },
    })
}

/// Reads a later block; `None` when it says anything that is not one of the forms.
pub(crate) fn narrowing(block: &Block, symbols: &Symbols) -> Option<Narrowing> {
    if !block.rules.is_empty() {
        return None;
    }
    let mut narrowing = Narrowing::default();
    for fact in &block.facts {
        let did = match &*fact.predicate.terms {
            [did] if symbols.get(fact.predicate.name) == Some(words::AGENT) => short(string(did, symbols)?)?,
            _ => return None,
        };
        let is_did = did.starts_with("did:") && did.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_did || narrowing.agent_did.is_some() {
            return None;
        }
        narrowing.agent_did = Some(did.to_owned());
    }
    for check in &block.checks {
        narrowing.add(condition(check, symbols)?);
    }
    Some(narrowing)
}

/// What one check demands. Scopes are borrowed until they are known to differ: three bytes of a block can name a text of kilobytes
/// once more.
enum Condition<'a> {
    Scopes(Vec<&'a str>),
    Until(Timestamp),
    Audience(String),
    Ceiling(Ceiling),
}

trait Add {
    fn add(&mut self, condition: Condition<'_>);
}

impl Add for Narrowing {
    fn add(&mut self, condition: Condition<'_>) {
        match condition {
            Condition::Scopes(mut new) => {
                let mut distinct: BTreeSet<&str> = BTreeSet::new();
                new.retain(|&scope| distinct.insert(scope));
                match &mut self.scopes {
                    Some(scopes) => scopes.retain(|scope| distinct.contains(scope.as_str())),
                    None => self.scopes = Some(new.into_iter().map(str::to_owned).collect()),
                }
            }
            Condition::Until(end) => self.expires_at = Some(self.expires_at.map_or(end, |known| known.min(end))),
            Condition::Audience(new) => {
                self.is_for_nobody |= self.audience.as_ref().is_some_and(|known| *known != new);
                self.audience = Some(new);
            }
            Condition::Ceiling(ceiling) => lower(&mut self.ceilings, ceiling),
        }
    }
}

fn condition<'a>(check: &Check, symbols: &'a Symbols) -> Option<Condition<'a>> {
    // `check if` only: `check all` and `reject if` hold when a verifier says nothing at all.
    if check.kind.unwrap_or(check::Kind::One as i32) != check::Kind::One as i32 {
        return None;
    }
    let (first, others) = check.queries.split_first()?;
    let mut condition = query(first, symbols)?;
    for other in others {
        // Alternatives are understood between scopes only.
        match (&mut condition, query(other, symbols)?) {
            (Condition::Scopes(all), Condition::Scopes(more)) => all.extend(more),
            _ => return None,
        }
    }
    Some(condition)
}

fn query<'a>(rule: &Rule, symbols: &'a Symbols) -> Option<Condition<'a>> {
    let [Predicate { name, terms }] = &*rule.body else {
        return None;
    };
    if !rule.scope.is_empty() {
        return None;
    }
    match (symbols.get(*name)?, &**terms, &*rule.expressions) {
        (words::OPERATION, [scope], []) => Some(Condition::Scopes(vec![short(string(scope, symbols)?)?])),
        (words::OPERATION, [scope], [only]) => {
            let (list, contained, Kind::Contains) = comparison(only)? else {
                return None;
            };
            (variable(contained)? == variable(scope)?).then_some(())?;
            Some(Condition::Scopes(strings(list, symbols)?))
        }
        (words::TIME, [time], [only]) => {
            let (compared, limit, kind) = comparison(only)?;
            (variable(compared)? == variable(time)?).then_some(())?;
            let end = date(limit)?;
            match kind {
                Kind::LessThan => Some(Condition::Until(end)),
                // Dates are whole seconds, and so is the time of a verifier: the last second is included.
                Kind::LessOrEqual => Some(Condition::Until(Timestamp::from_millis(
                    end.as_millis().checked_add(1_000)?,
                ))),
                _ => None,
            }
        }
        (words::AUDIENCE, [audience], []) => Some(Condition::Audience(short(string(audience, symbols)?)?.to_owned())),
        (words::SPEND, [amount, currency], [only]) => {
            let (compared, limit, kind) = comparison(only)?;
            (variable(compared)? == variable(amount)?).then_some(())?;
            let amount = match kind {
                Kind::LessThan => integer(limit)?.checked_sub(1)?,
                Kind::LessOrEqual => integer(limit)?,
                _ => return None,
            };
            let currency = short(string(currency, symbols)?)?.to_owned();
            Some(Condition::Ceiling(Ceiling { currency, amount }))
        }
        _ => None,
    }
}

/// Two operands and what is between them, in the order of the text.
fn comparison(expression: &Expression) -> Option<(&Term, &Term, Kind)> {
    let mut ops = expression.ops.iter().map(|op| op.content.as_ref());
    match (ops.next()??, ops.next()??, ops.next()??, ops.next()) {
        (op::Content::Value(left), op::Content::Value(right), op::Content::Binary(binary), None) => {
            Some((left, right, Kind::from_i32(binary.kind)?))
        }
        _ => None,
    }
}

fn variable(term: &Term) -> Option<u32> {
    match term.content.as_ref()? {
        term::Content::Variable(number) => Some(*number),
        _ => None,
    }
}

fn string<'a>(term: &Term, symbols: &'a Symbols) -> Option<&'a str> {
    match term.content.as_ref()? {
        term::Content::String(number) => symbols.get(*number),
        _ => None,
    }
}

fn strings<'a>(term: &Term, symbols: &'a Symbols) -> Option<Vec<&'a str>> {
    let terms = match term.content.as_ref()? {
        term::Content::Set(set) => &set.set,
        term::Content::Array(array) => &array.array,
        _ => return None,
    };
    terms.iter().map(|term| short(string(term, symbols)?)).collect()
}

fn integer(term: &Term) -> Option<i64> {
    match term.content.as_ref()? {
        term::Content::Integer(number) => Some(*number),
        _ => None,
    }
}

fn date(term: &Term) -> Option<Timestamp> {
    match term.content.as_ref()? {
        term::Content::Date(seconds) => {
            let millis = i64::try_from(*seconds).ok()?.checked_mul(1_000)?;
            Some(Timestamp::from_millis(millis))
        }
        _ => None,
    }
}

fn short(text: &str) -> Option<&str> {
    (text.len() <= MAX_TEXT).then_some(text)
}
