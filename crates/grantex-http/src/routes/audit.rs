//! The audit log.

use actix_web::HttpResponse;
use grantex_core::audit::{AuditEntry, AuditFilter, AuditStatus, Chain, LogEntry};
use grantex_core::clock::Timestamp;
use grantex_core::id::AuditId;
use grantex_core::page::{Page, PageRequest, PageStart};
use grantex_core::store::Store;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::listing::{self, Paging};
use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint, Parameter};
use crate::error::ApiError;
use crate::extract::{Text, page_request, present};
use crate::openapi::schema;

pub(crate) const LOG: Endpoint = Endpoint::post(
    "/v1/audit/log",
    Access::Key,
    "Appends an entry to the developer's chain",
)
.takes(schema::<LogBody>)
.gives(201, schema::<EntryAnswer>)
.refuses(&[400, 402]);
pub(crate) const LIST: Endpoint = Endpoint::get(
    "/v1/audit/entries",
    Access::Key,
    "Lists entries, ascending; without a start, the newest ones",
)
.query(&[
    Parameter {
        name: "chain",
        about: "`caller`, the default, or `server`: decisions of the server itself",
    },
    Parameter {
        name: "agentId",
        about: "Only with this agent id",
    },
    Parameter {
        name: "grantId",
        about: "Only with this grant id",
    },
    Parameter {
        name: "principalId",
        about: "Only with this principal",
    },
    Parameter {
        name: "action",
        about: "Only with this action",
    },
    Parameter {
        name: "since",
        about: "Not before this time (RFC 3339)",
    },
    Parameter {
        name: "until",
        about: "Before this time (RFC 3339)",
    },
    listing::PAGE,
    listing::PAGE_SIZE,
    listing::CURSOR,
])
.gives(200, schema::<EntryList>)
.refuses(&[400]);
pub(crate) const GET: Endpoint = Endpoint::get("/v1/audit/{id}", Access::Key, "Shows an entry of either chain")
    .gives(200, schema::<EntryAnswer>)
    .refuses(&[404]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Success,
    Failure,
    Blocked,
}

impl From<Outcome> for AuditStatus {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::Failure => Self::Failure,
            Outcome::Blocked => Self::Blocked,
        }
    }
}

/// Something an agent did.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogBody {
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    agent_id: Text<1, 256>,
    #[schema(value_type = String, min_length = 1, max_length = 512)]
    agent_did: Text<1, 512>,
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    grant_id: Text<1, 256>,
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    principal_id: Text<1, 256>,
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    action: Text<1, 256>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<Map<String, Value>>,
    /// `success` by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    status: Option<Outcome>,
}

/// An entry in its chain.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntryAnswer {
    entry_id: String,
    agent_id: String,
    agent_did: String,
    grant_id: String,
    principal_id: String,
    developer_id: String,
    action: String,
    #[schema(value_type = Object)]
    metadata: Box<RawValue>,
    /// SHA-256 over the entry.
    hash: String,
    /// The hash of the entry before; null for the first.
    prev_hash: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    #[schema(value_type = String)]
    status: AuditStatus,
    /// `caller` or `server`.
    chain: &'static str,
    /// Position in the chain, from 1.
    sequence: i64,
    /// The trace of the request that wrote it, when it had one. Not part of the hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

/// A page of entries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntryList {
    entries: Vec<EntryAnswer>,
    #[serde(flatten)]
    paging: Paging,
}

impl TryFrom<AuditEntry> for EntryAnswer {
    type Error = ApiError;

    fn try_from(entry: AuditEntry) -> Result<Self, ApiError> {
        Ok(Self {
            entry_id: entry.id.to_string(),
            agent_id: entry.record.agent_id,
            agent_did: entry.record.agent_did,
            grant_id: entry.record.grant_id,
            principal_id: entry.record.principal_id,
            developer_id: entry.developer_id.to_string(),
            action: entry.record.action,
            metadata: raw(entry.record.metadata)?,
            hash: entry.hash,
            prev_hash: entry.prev_hash,
            timestamp: entry.timestamp,
            status: entry.record.status,
            chain: entry.chain.as_str(),
            sequence: entry.seq,
            trace_id: entry.trace_id.map(|id| id.to_string()),
        })
    }
}

/// The stored text is served as it was hashed.
pub(super) fn raw(metadata: String) -> Result<Box<RawValue>, ApiError> {
    RawValue::from_string(metadata).map_err(ApiError::internal)
}

pub(crate) async fn log<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let body: LogBody = call.json().await?;
    let entry = LogEntry {
        agent_id: body.agent_id.0,
        agent_did: body.agent_did.0,
        grant_id: body.grant_id.0,
        principal_id: body.principal_id.0,
        action: body.action.0,
        metadata: body.metadata.unwrap_or_default(),
        status: body.status.map_or(AuditStatus::Success, Into::into),
    };
    let entry = call
        .write(|grantex, ctx| async move { grantex.log_audit(&ctx, &developer, entry).await })
        .await?;
    answer::created(&EntryAnswer::try_from(entry)?)
}

pub(crate) async fn list<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let query = call.query()?;
    let chain = query
        .parsed("chain", Chain::parse, "must be caller or server")?
        .unwrap_or(Chain::Caller);
    let filter = AuditFilter {
        agent_id: query.text("agentId", 256)?,
        grant_id: query.text("grantId", 256)?,
        principal_id: query.text("principalId", 256)?,
        action: query.text("action", 256)?,
        since: query.parsed("since", Timestamp::parse_rfc3339, "must be an RFC 3339 date-time")?,
        until: query.parsed("until", Timestamp::parse_rfc3339, "must be an RFC 3339 date-time")?,
    };
    let (from, size) = page_request(&query)?;
    let from = from.or_else(|| filter.since.is_some().then_some(PageStart::Number(1)));
    let request = from.map(|from| PageRequest { size, from });
    let page = call
        .read(
            call.grantex
                .audit_entries(&developer, chain, filter, request.clone(), size),
        )
        .await?;
    let paging = request.map_or_else(|| Paging::newest(size), |request| Paging::of(&request, &page));
    let Page { items, .. } = page;
    let entries = items.into_iter().map(EntryAnswer::try_from).collect::<Result<_, _>>()?;
    answer::ok(&EntryList { entries, paging })
}

pub(crate) async fn get<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let entry = match AuditId::parse(&call.segment("id")?) {
        Some(id) => call.read(call.grantex.audit_entry(&developer, id)).await?,
        None => None,
    };
    answer::ok(&EntryAnswer::try_from(
        entry.ok_or_else(|| ApiError::not_found("audit entry"))?,
    )?)
}
