//! Entries of a chain, a page at a time.

use grantex_core::audit::Chain;
use grantex_core::clock::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::Client;
use crate::error::Failure;

/// Entries that are asked for at a time. An entry may be as long as a request's body, 1 MiB.
const PAGE: &str = "200";

/// The entries of one chain, in its order.
pub struct Pages<'c> {
    client: &'c Client,
    chain: Chain,
    since: Option<String>,
    until: Option<String>,
    cursor: Option<String>,
    is_done: bool,
}

/// A page, whose entries stay the text that the service sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    entries: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

impl<'c> Pages<'c> {
    pub fn new(client: &'c Client, chain: Chain, since: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        Self {
            client,
            chain,
            since: since.map(|at| at.to_string()),
            until: until.map(|at| at.to_string()),
            cursor: None,
            is_done: false,
        }
    }

    /// The next entries, each in one line; `None` when there are no more.
    pub async fn next(&mut self) -> Result<Option<Vec<String>>, Failure> {
        if self.is_done {
            return Ok(None);
        }
        let mut query = vec![("chain", self.chain.as_str()), ("pageSize", PAGE)];
        query.extend(self.since.as_deref().map(|at| ("since", at)));
        query.extend(self.until.as_deref().map(|at| ("until", at)));
        // Without a start the service tells the newest entries.
        match self.cursor.as_deref() {
            Some(cursor) => query.push(("cursor", cursor)),
            None => query.push(("page", "1")),
        }
        let answer = self.client.get_raw(&["v1", "audit", "entries"], &query).await?;
        let page: Page = serde_json::from_str(answer.get())
            .map_err(|_| Failure::Unanswered("the answer holds no list of entries".to_owned()))?;
        self.is_done = page.next_cursor.is_none() || page.entries.is_empty();
        self.cursor = page.next_cursor;
        // Line breaks in JSON stand between its parts only: in texts they are escaped.
        let lines = page.entries.iter().map(|entry| entry.get().replace(['\n', '\r'], " "));
        Ok(Some(lines.collect()))
    }
}
