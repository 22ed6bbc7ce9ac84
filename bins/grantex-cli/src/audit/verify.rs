//! `audit verify`: recomputes hash chains, of an export or of what the service answers.
//!
//! An export proves that nothing in it that is hashed was changed, and that nothing was taken out or put in between. Not hashed are
//! `traceId`, the name of the chain and `sequence`; the last is checked against the entry before it, so that a whole chain has its numbers and
//! a part of one could be renumbered. It cannot prove that nothing is missing at its end: the report names the last entry of each chain,
//! which can be compared with what the service, or an earlier export, says.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use grantex_core::audit::{AuditEntry, AuditRecord, AuditStatus, Chain, canonical, chain, first_broken};
use grantex_core::clock::Timestamp;
use grantex_core::id::{AuditId, DeveloperId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::pages::Pages;
use crate::cli::VerifyAudit;
use crate::client::Client;
use crate::error::Failure;
use crate::input;
use crate::output::{Output, Tone};
use crate::strict::StrictObject;

/// The longest line that is read: an entry holds what a request of 1 MiB held, and may be written with escapes.
const LONGEST_LINE: u64 = 8 << 20;

/// Verifies an export.
pub fn verify_file(options: &VerifyAudit, output: &Output) -> Result<(), Failure> {
    let mut verifier = Verifier::new(options.partial);
    match options.file.as_deref() {
        Some(path) if path != Path::new("-") => {
            let file = File::open(input::named(path)?)
                .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", path.display())))?;
            read(BufReader::new(file), &mut verifier)?;
        }
        _ => read(io::stdin().lock(), &mut verifier)?,
    }
    verifier.tell(output)
}

/// Verifies what the service answers.
pub async fn verify_online(client: &Client, options: &VerifyAudit, output: &Output) -> Result<(), Failure> {
    let mut verifier = Verifier::new(options.partial);
    // The service says that there is nothing; a file that lost everything looks the same.
    verifier.is_empty_allowed = true;
    'chains: for chain in options.chain.each() {
        let mut pages = Pages::new(client, *chain, None, None);
        while let Some(entries) = pages.next().await? {
            for entry in entries {
                if !verifier.take(&entry) {
                    break 'chains;
                }
            }
        }
    }
    verifier.tell(output)
}

fn read(mut source: impl BufRead, verifier: &mut Verifier) -> Result<(), Failure> {
    loop {
        let mut line = Vec::new();
        let count = source
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .map_err(Failure::of("reading the export"))?;
        if count == 0 {
            return Ok(());
        }
        if line.trim_ascii().is_empty() {
            verifier.line += 1;
            continue;
        }
        // A line that was cut, or is no text, is no entry.
        let text = String::from_utf8(line).unwrap_or_default();
        if !verifier.take(&text) {
            return Ok(());
        }
    }
}

/// An entry as it is served, and as it must be: every member that the hash covers or that says where the entry belongs, once.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    entry_id: String,
    agent_id: String,
    agent_did: String,
    grant_id: String,
    principal_id: String,
    developer_id: String,
    action: String,
    metadata: StrictObject,
    hash: String,
    prev_hash: Option<String>,
    timestamp: String,
    status: String,
    chain: String,
    sequence: i64,
}

impl Exported {
    fn read(self) -> Option<AuditEntry> {
        // The hash covers the time's text; core writes it in one way.
        let timestamp = Timestamp::parse_rfc3339(&self.timestamp).filter(|at| at.to_string() == self.timestamp)?;
        Some(AuditEntry {
            id: AuditId::parse(&self.entry_id)?,
            developer_id: DeveloperId::parse(&self.developer_id)?,
            chain: Chain::parse(&self.chain)?,
            seq: self.sequence,
            record: AuditRecord {
                agent_id: self.agent_id,
                agent_did: self.agent_did,
                grant_id: self.grant_id,
                principal_id: self.principal_id,
                action: self.action,
                metadata: canonical::members_text(&self.metadata.0),
                status: AuditStatus::parse(&self.status)?,
            },
            timestamp,
            prev_hash: self.prev_hash,
            hash: self.hash,
            trace_id: None,
        })
    }
}

/// The first entry that does not fit.
struct Broken {
    line: u64,
    entry: Option<(AuditId, i64)>,
    reason: &'static str,
}

/// What is known of one chain.
struct Seen {
    first: i64,
    last: AuditEntry,
    checked: u64,
}

/// Takes entries one after another; of each chain it keeps the last.
struct Verifier {
    is_partial_allowed: bool,
    is_empty_allowed: bool,
    line: u64,
    chains: BTreeMap<(String, Chain), Seen>,
    broken: Option<((String, Chain), Broken)>,
    malformed: Option<u64>,
}

impl Verifier {
    const fn new(is_partial_allowed: bool) -> Self {
        Self {
            is_partial_allowed,
            is_empty_allowed: is_partial_allowed,
            line: 0,
            chains: BTreeMap::new(),
            broken: None,
            malformed: None,
        }
    }

    /// Takes an entry; `false` when nothing after it can be good.
    fn take(&mut self, text: &str) -> bool {
        self.line += 1;
        let entry = serde_json::from_str(text).ok().and_then(Exported::read);
        let Some(entry) = entry else {
            self.malformed = Some(self.line);
            return false;
        };
        let key = (entry.developer_id.to_string(), entry.chain);
        let before = self.chains.get(&key);
        if let Some(reason) = self.reason_against(before.map(|seen| &seen.last), &entry) {
            let broken = Broken {
                line: self.line,
                entry: Some((entry.id, entry.seq)),
                reason,
            };
            self.broken = Some((key, broken));
            return false;
        }
        let (first, checked) = before.map_or((entry.seq, 0), |seen| (seen.first, seen.checked));
        let seen = Seen {
            first,
            last: entry,
            checked: checked + 1,
        };
        self.chains.insert(key, seen);
        true
    }

    fn reason_against(&self, previous: Option<&AuditEntry>, entry: &AuditEntry) -> Option<&'static str> {
        // Of a chain that begins later, nothing is known that its first entry must follow.
        if previous.is_none() && self.is_partial_allowed && entry.seq > 1 {
            let is_linked = entry.prev_hash.is_some();
            return match chain::hash(entry) == entry.hash {
                true if is_linked => None,
                true => Some("link"),
                false => Some("content"),
            };
        }
        first_broken(previous, std::slice::from_ref(entry)).map(|broken| broken.reason)
    }

    fn is_good(&self) -> bool {
        self.broken.is_none() && self.malformed.is_none() && !self.is_empty()
    }

    /// Whether there is nothing of which anything could be said, and that is not what was asked for.
    fn is_empty(&self) -> bool {
        self.chains.is_empty() && !self.is_empty_allowed
    }

    fn tell(&self, output: &Output) -> Result<(), Failure> {
        match output.is_json() {
            true => output.json(&self.json())?,
            false => output.raw(&self.text(output))?,
        }
        match self.is_good() {
            true => Ok(()),
            false => Err(Failure::No),
        }
    }

    fn json(&self) -> Value {
        let chains: Vec<Value> = self
            .chains
            .iter()
            .map(|((developer, chain), seen)| {
                json!({
                    "developerId": developer, "chain": chain.as_str(), "checkedEntries": seen.checked, "firstSequence": seen.first,
                    "last": {"entryId": seen.last.id, "sequence": seen.last.seq, "hash": seen.last.hash},
                })
            })
            .collect();
        let broken = match (&self.broken, self.malformed) {
            (Some(((developer, chain), broken)), _) => json!({
                "line": broken.line, "reason": broken.reason, "developerId": developer, "chain": chain.as_str(),
                "entryId": broken.entry.as_ref().map(|(id, _)| id), "sequence": broken.entry.as_ref().map(|(_, seq)| seq),
            }),
            (None, Some(line)) => json!({"line": line, "reason": "malformed"}),
            (None, None) if self.is_empty() => json!({"line": null, "reason": "no entries"}),
            (None, None) => Value::Null,
        };
        json!({"valid": self.is_good(), "chains": chains, "broken": broken})
    }

    fn text(&self, output: &Output) -> String {
        let mut out = String::new();
        for ((developer, chain), seen) in &self.chains {
            let (chain, checked) = (chain.as_str(), seen.checked);
            let (last, seq, hash) = (&seen.last.id, seen.last.seq, &seen.last.hash);
            out.push_str(&format!(
                "{developer} {chain}: {checked} entries fit, from {} to {seq}, {last}, {hash}\n",
                seen.first
            ));
        }
        let verdict = match (&self.broken, self.malformed) {
            (Some(((developer, chain), broken)), _) => {
                let entry = broken.entry.as_ref();
                let entry = entry.map_or_else(String::new, |(id, seq)| format!("entry {seq}, {id}"));
                let why = match broken.reason {
                    "link" => "it does not follow the entry before it",
                    _ => "its hash is not that of its content",
                };
                let chain = chain.as_str();
                let place = format!(
                    "line {}: the {chain} chain of {developer} is broken at {entry}: {why}",
                    broken.line
                );
                output.toned(Tone::Bad, &place)
            }
            (None, Some(line)) => output.toned(Tone::Bad, &format!("line {line} is no audit entry")),
            (None, None) if self.is_empty() => output.toned(Tone::Bad, "there are no entries"),
            (None, None) if self.chains.is_empty() => "there are no entries".to_owned(),
            (None, None) => output.toned(Tone::Good, "every chain is intact"),
        };
        out.push_str(&verdict);
        out.push('\n');
        out
    }
}
