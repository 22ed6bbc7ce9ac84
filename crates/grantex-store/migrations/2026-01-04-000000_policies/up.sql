-- How often a developer's policies have changed: read with the API key, compared by whoever keeps them in memory.
ALTER TABLE developers ADD COLUMN policy_version BIGINT NOT NULL DEFAULT 0;

CREATE TABLE policies (
    id TEXT NOT NULL PRIMARY KEY,
    developer_id TEXT NOT NULL REFERENCES developers (id),
    name TEXT NOT NULL,
    effect TEXT NOT NULL,
    priority BIGINT NOT NULL,
    agent_id TEXT,
    principal_id TEXT,
    scopes TEXT,
    audience TEXT,
    -- HH:MM, both or neither.
    time_of_day_start TEXT,
    time_of_day_end TEXT,
    time_zone TEXT,
    days_of_week TEXT,
    -- Roughly its bytes in memory: a developer's sum is bounded.
    weight BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
-- Count and weight of a developer's are read from here alone.
CREATE INDEX policies_weight ON policies (developer_id, weight);
CREATE INDEX policies_listing ON policies (developer_id, priority DESC, id);

CREATE TABLE policy_bundles (
    id TEXT NOT NULL PRIMARY KEY,
    developer_id TEXT NOT NULL REFERENCES developers (id),
    format TEXT NOT NULL,
    version TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    -- Base64, as bundles need not be text.
    content TEXT NOT NULL,
    file_count BIGINT NOT NULL,
    is_active BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX policy_bundles_listing ON policy_bundles (developer_id, created_at, id);
CREATE UNIQUE INDEX policy_bundles_active ON policy_bundles (developer_id, format) WHERE is_active;
