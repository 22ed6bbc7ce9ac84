-- What developers want done about anomalies.
CREATE TABLE anomaly_response_policies (
    developer_id TEXT NOT NULL PRIMARY KEY,
    -- For findings that no policy speaks of.
    mode TEXT NOT NULL,
    -- A JSON array of `[["<rule id>", …], ["<severity>", …], "<action>" or null]`, in the order in which they are asked.
    policies TEXT NOT NULL
);

-- What is still to be done: written with the anomaly, removed when it is done, together with the event that tells of it.
CREATE TABLE anomaly_responses (
    anomaly_id TEXT NOT NULL PRIMARY KEY,
    developer_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    action TEXT NOT NULL,
    -- The last grant that was visited.
    after_at BIGINT,
    after_id TEXT,
    revoked BIGINT NOT NULL,
    -- A JSON array: the first grants that were revoked.
    grant_ids TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX anomaly_responses_of_developer ON anomaly_responses (developer_id, anomaly_id);
