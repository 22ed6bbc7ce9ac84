-- What holders of Biscuits handed on without the server, as it was first seen. Kept like the grants that it belongs to.
CREATE TABLE offline_delegations (
    developer_id TEXT NOT NULL,
    -- The signature, in hexadecimal digits, of the block that names the agent.
    revocation_id TEXT NOT NULL,
    parent_revocation_id TEXT,
    grant_id TEXT NOT NULL,
    token_id TEXT NOT NULL,
    agent_did TEXT NOT NULL,
    depth BIGINT NOT NULL,
    -- JSON arrays and objects: scopes, ceilings, and all blocks up to this one.
    scopes TEXT NOT NULL,
    audience TEXT,
    ceilings TEXT NOT NULL,
    blocks TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    PRIMARY KEY (developer_id, revocation_id)
);
CREATE INDEX offline_delegations_of_grant ON offline_delegations (grant_id, first_seen_at, revocation_id);
