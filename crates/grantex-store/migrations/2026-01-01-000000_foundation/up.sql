-- One text for SQLite and PostgreSQL: identifiers are TEXT, times are BIGINT milliseconds since the Unix epoch, scopes and
-- other lists whose members hold no space are TEXT joined by spaces, and what is hashed or signed is TEXT, byte by byte.
--
-- Grants, tokens, requests, audit entries and events have no foreign keys: developers, agents and grants are never
-- deleted, and on PostgreSQL each check would lock the row it points to, which for developers is the row everybody wants.

CREATE TABLE developers (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT UNIQUE,
    mode TEXT NOT NULL,
    plan TEXT NOT NULL,
    fido_rp_name TEXT,
    api_key_hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    -- The head: counters and ends of chains, advanced by the last write of a unit of work. No index covers any of it, so
    -- that PostgreSQL can update the row in place (heap-only tuples).
    active_grants BIGINT NOT NULL DEFAULT 0,
    event_seq BIGINT NOT NULL DEFAULT 0,
    caller_seq BIGINT NOT NULL DEFAULT 0,
    caller_hash TEXT,
    caller_id TEXT,
    caller_at BIGINT,
    server_seq BIGINT NOT NULL DEFAULT 0,
    server_hash TEXT,
    server_id TEXT,
    server_at BIGINT
);

CREATE TABLE agents (
    id TEXT NOT NULL PRIMARY KEY,
    developer_id TEXT NOT NULL REFERENCES developers (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    scopes TEXT NOT NULL,
    is_restricted BOOLEAN NOT NULL,
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT,
    cleared_at BIGINT
);
CREATE INDEX agents_listing ON agents (developer_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX agents_to_clear ON agents (deleted_at) WHERE deleted_at IS NOT NULL AND cleared_at IS NULL;

CREATE TABLE auth_requests (
    id TEXT NOT NULL PRIMARY KEY,
    developer_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    redirect_uri TEXT,
    state TEXT,
    expires_in BIGINT NOT NULL,
    audience TEXT,
    code_challenge TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    status TEXT NOT NULL,
    code_hash TEXT UNIQUE,
    code_expires_at BIGINT,
    consumed_at BIGINT,
    grant_id TEXT
);
CREATE INDEX auth_requests_expiry ON auth_requests (expires_at);

CREATE TABLE grants (
    id TEXT NOT NULL PRIMARY KEY,
    developer_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    audience TEXT,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_by TEXT,
    parent_grant_id TEXT,
    delegation_depth BIGINT NOT NULL,
    -- Agents that handed the grant on, nearest first.
    delegators TEXT NOT NULL,
    -- Whether the grant is in its developer's active_grants, or was when it was revoked.
    is_counted BOOLEAN NOT NULL
);
CREATE INDEX grants_of_developer ON grants (developer_id, issued_at, id);
CREATE INDEX grants_of_principal ON grants (developer_id, principal_id, issued_at, id);
CREATE INDEX grants_of_agent ON grants (agent_id, issued_at, id);
CREATE INDEX grants_of_parent ON grants (parent_grant_id) WHERE parent_grant_id IS NOT NULL;
CREATE INDEX grants_to_uncount ON grants (expires_at) WHERE is_counted AND revoked_at IS NULL;

CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY,
    grant_id TEXT NOT NULL,
    developer_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    refresh_hash TEXT NOT NULL UNIQUE,
    refresh_expires_at BIGINT NOT NULL,
    refresh_used_at BIGINT,
    successor_id TEXT,
    replay_key_hash TEXT,
    replay_sealed TEXT,
    -- The later of the two ends: from then on the row only explains the past.
    ends_at BIGINT NOT NULL
);
CREATE INDEX tokens_of_grant ON tokens (grant_id);
CREATE INDEX tokens_of_key ON tokens (key_id, ends_at);
CREATE INDEX tokens_with_replay ON tokens (refresh_used_at) WHERE replay_sealed IS NOT NULL;

CREATE TABLE audit_entries (
    developer_id TEXT NOT NULL,
    chain TEXT NOT NULL,
    seq BIGINT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    agent_id TEXT NOT NULL,
    agent_did TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    action TEXT NOT NULL,
    metadata TEXT NOT NULL,
    status TEXT NOT NULL,
    timestamp BIGINT NOT NULL,
    prev_hash TEXT,
    hash TEXT NOT NULL,
    PRIMARY KEY (developer_id, chain, seq)
);
CREATE INDEX audit_entries_of_agent ON audit_entries (developer_id, chain, agent_id, seq);
-- Grants are young when they are written about, so with the grant in front most entries go to the same end of the index.
CREATE INDEX audit_entries_of_grant ON audit_entries (grant_id, developer_id, chain, seq);
CREATE INDEX audit_entries_of_principal ON audit_entries (developer_id, chain, principal_id, seq);
-- The three actions that every exchange and refresh is made of are so frequent that walking the chain finds them at once;
-- leaving them out spares each of those units two writes. Queries for the others repeat this condition word by word.
CREATE INDEX audit_entries_of_action ON audit_entries (developer_id, chain, action, seq)
    WHERE action NOT IN ('grantex.grant.created', 'grantex.token.exchanged', 'grantex.token.refreshed');

CREATE TABLE events (
    developer_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (developer_id, seq)
);
CREATE INDEX events_age ON events (created_at);

CREATE TABLE signing_keys (
    kid TEXT NOT NULL PRIMARY KEY,
    algorithm TEXT NOT NULL,
    -- Empty when the key was removed.
    sealed_private_key TEXT NOT NULL,
    public_jwk TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    activates_at BIGINT NOT NULL,
    retired_at BIGINT,
    -- The row of a removed key stays without the private key, so that its kid is taken for ever.
    removed_at BIGINT
);
