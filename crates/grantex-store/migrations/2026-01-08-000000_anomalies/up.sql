-- Anomalies, and what they are found by.

-- How far a developer's chains have been looked through. Its row is what all changes of a developer's activities, rules, mutes
-- and anomalies take first, so that they run one after another, and `version` tells whether somebody else was there.
CREATE TABLE anomaly_cursors (
    developer_id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    caller_seq BIGINT NOT NULL,
    server_seq BIGINT NOT NULL
);

-- What an agent did lately, in the compact form of the domain; '' stands for the developer's agents together.
CREATE TABLE agent_activities (
    developer_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    activity TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (developer_id, agent_id)
);
CREATE INDEX agent_activities_age ON agent_activities (updated_at);

CREATE TABLE anomalies (
    id TEXT NOT NULL PRIMARY KEY,
    developer_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    custom_rule TEXT,
    rule_id TEXT NOT NULL,
    severity TEXT NOT NULL,
    status TEXT NOT NULL,
    agent_id TEXT,
    principal_id TEXT,
    -- Rule, agent and principal in one.
    subject_key TEXT NOT NULL,
    description TEXT NOT NULL,
    evidence TEXT NOT NULL,
    level BIGINT NOT NULL,
    window_start BIGINT NOT NULL,
    window_end BIGINT NOT NULL,
    detected_at BIGINT NOT NULL,
    acknowledged_at BIGINT,
    resolved_at BIGINT,
    notes TEXT NOT NULL
);
-- A finding is raised once, whichever server finds it and how often.
CREATE UNIQUE INDEX anomalies_once ON anomalies (developer_id, subject_key, window_start);
CREATE INDEX anomalies_of_developer ON anomalies (developer_id, detected_at, id);
CREATE INDEX anomalies_of_agent ON anomalies (developer_id, agent_id, detected_at, id);
CREATE INDEX anomalies_open ON anomalies (developer_id, detected_at, id) WHERE status = 'open';
CREATE INDEX anomalies_unresolved ON anomalies (detected_at) WHERE resolved_at IS NULL;
CREATE INDEX anomalies_resolved ON anomalies (resolved_at) WHERE resolved_at IS NOT NULL;

-- What developers changed about the rules of the server.
CREATE TABLE anomaly_rule_overrides (
    developer_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    is_enabled BOOLEAN NOT NULL,
    -- `{"<name>":<number>}`.
    thresholds TEXT NOT NULL,
    PRIMARY KEY (developer_id, kind)
);

-- Developers' own rules.
CREATE TABLE anomaly_rules (
    id TEXT NOT NULL PRIMARY KEY,
    developer_id TEXT NOT NULL,
    rule_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    severity TEXT NOT NULL,
    condition_text TEXT NOT NULL,
    -- A JSON array of texts.
    is_enabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX anomaly_rules_of_developer ON anomaly_rules (developer_id, rule_id);

CREATE TABLE anomaly_mutes (
    id TEXT NOT NULL PRIMARY KEY,
    developer_id TEXT NOT NULL,
    kind TEXT,
    agent_id TEXT,
    starts_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX anomaly_mutes_of_developer ON anomaly_mutes (developer_id, ends_at);
CREATE INDEX anomaly_mutes_over ON anomaly_mutes (ends_at);
