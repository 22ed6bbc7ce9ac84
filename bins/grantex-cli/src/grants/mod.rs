//! Grants.

pub mod tree;

use grantex_core::id::GrantId;
use serde_json::{Map, Value, json};

use crate::cli::{ListGrants, WhichGrants};
use crate::client::Client;
use crate::error::Failure;
use crate::output::{Output, Tone, shown};

/// Grants that are asked for at a time: the service's most.
const PAGE: u32 = 1_000;

/// Lists grants.
pub async fn list(client: &Client, options: &ListGrants, output: &Output) -> Result<(), Failure> {
    let (grants, has_more) = collect(client, &options.which, options.limit).await?;
    if output.is_json() {
        return output.json(&json!({"grants": grants, "hasMore": has_more}));
    }
    let rows: Vec<Vec<(Tone, String)>> = grants.iter().map(row).collect();
    let heading = ["GRANT", "STATUS", "AGENT", "PRINCIPAL", "EXPIRES", "SCOPES"];
    output.raw(&output.table(&heading, &rows))?;
    if has_more {
        output.note(&format!(
            "There are more than {}: raise --limit to see them.",
            grants.len()
        ));
    }
    Ok(())
}

fn row(grant: &Value) -> Vec<(Tone, String)> {
    let plain = |name: &str| (Tone::Plain, text(grant, name));
    vec![
        (Tone::Strong, text(grant, "grantId")),
        (tone(grant), text(grant, "status")),
        plain("agentId"),
        plain("principalId"),
        plain("expiresAt"),
        plain("scopes"),
    ]
}

/// Shows one grant.
pub async fn show(client: &Client, id: &str, output: &Output) -> Result<(), Failure> {
    let grant = one(client, id).await?;
    match output.is_json() {
        true => output.json(&grant),
        // `id` says the same as `grantId`, for older clients.
        false => output.raw(
            &output.members(
                grant
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| *name != "id"),
            ),
        ),
    }
}

/// Revokes a grant.
pub async fn revoke(client: &Client, id: &str, output: &Output) -> Result<(), Failure> {
    let id = parse(id)?;
    client.delete(&["v1", "grants", id.as_str()]).await?;
    match output.is_json() {
        true => output.json(&json!({"grantId": id, "revoked": true})),
        false => output.line(&format!(
            "{} {id} and all that was delegated from it",
            output.toned(Tone::Good, "revoked")
        )),
    }
}

async fn one(client: &Client, id: &str) -> Result<Value, Failure> {
    let id = parse(id)?;
    client.get(&["v1", "grants", id.as_str()], &[]).await
}

/// A mistyped id is told here; it need not be sent.
fn parse(id: &str) -> Result<GrantId, Failure> {
    GrantId::parse(id)
        .ok_or_else(|| Failure::Usage("a grant's id looks like grnt_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned()))
}

/// Grants, newest first, and whether there are more than `limit`.
async fn collect(client: &Client, which: &WhichGrants, limit: u32) -> Result<(Vec<Value>, bool), Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut grants: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let wanted = limit.saturating_sub(grants.len()).min(PAGE as usize).to_string();
        let mut query: Vec<(&str, &str)> = vec![("pageSize", wanted.as_str())];
        query.extend(which.agent.as_deref().map(|id| ("agentId", id)));
        query.extend(which.principal.as_deref().map(|id| ("principalId", id)));
        query.extend(which.status.map(|status| ("status", status.as_str())));
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let mut page = client.get(&["v1", "grants"], &query).await?;
        let items = match page.get_mut("grants").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => return Err(Failure::Unanswered("the answer holds no list of grants".to_owned())),
        };
        let is_empty = items.is_empty();
        grants.extend(items);
        cursor = page.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
        if grants.len() >= limit || is_empty || cursor.is_none() {
            let has_more = cursor.is_some() || grants.len() > limit;
            grants.truncate(limit);
            return Ok((grants, has_more));
        }
    }
}

fn text(grant: &Value, name: &str) -> String {
    grant.get(name).map(shown).unwrap_or_default()
}

fn tone(grant: &Value) -> Tone {
    match grant.get("status").and_then(Value::as_str) {
        Some("active") => Tone::Good,
        Some("revoked") => Tone::Bad,
        _ => Tone::Faint,
    }
}

/// A grant with what is below it.
fn with_children(grant: &Value, children: Vec<Value>) -> Value {
    let mut members: Map<String, Value> = grant.as_object().cloned().unwrap_or_default();
    members.insert("children".to_owned(), children.into());
    members.into()
}
