-- Webhook endpoints and what is to be delivered to them.

-- Which endpoints are told of which events: `<webhook id>:<type>,<type> …`, of those that are neither disabled nor deleted.
-- It stands with the developer's head, so that a unit of work knows it without another read, and changes under its lock.
ALTER TABLE developers ADD COLUMN subscriptions TEXT NOT NULL DEFAULT '';

CREATE TABLE webhooks (
    id TEXT NOT NULL PRIMARY KEY,
    developer_id TEXT NOT NULL,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    description TEXT,
    state TEXT NOT NULL,
    disabled_reason TEXT,
    sealed_secret TEXT NOT NULL,
    sealed_previous_secret TEXT,
    previous_until BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT,
    -- What deliveries change: the breaker and the counts.
    failures BIGINT NOT NULL DEFAULT 0,
    openings BIGINT NOT NULL DEFAULT 0,
    failing_since BIGINT,
    resumes_at BIGINT,
    last_success_at BIGINT,
    last_failure_at BIGINT,
    delivered BIGINT NOT NULL DEFAULT 0,
    retried BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    -- The server that sends to the endpoint, and until when nobody else may.
    claimed_by TEXT,
    claimed_until BIGINT
);
CREATE INDEX webhooks_of_developer ON webhooks (developer_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX webhooks_deleted ON webhooks (deleted_at) WHERE deleted_at IS NOT NULL;

-- A delivery holds the exact bytes that are signed and sent, so it outlives the event.
CREATE TABLE webhook_deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    webhook_id TEXT NOT NULL,
    developer_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    order_key TEXT NOT NULL,
    payload TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    last_status BIGINT,
    last_error TEXT,
    sent_to TEXT,
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);
-- An endpoint gets each event in one delivery. Also the order of listings.
CREATE UNIQUE INDEX webhook_deliveries_of_webhook ON webhook_deliveries (webhook_id, event_seq);
-- Holds created_at, so that the age of the oldest is found without visiting the rows.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at, event_seq, created_at)
    WHERE status = 'pending';
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (webhook_id, order_key, event_seq)
    WHERE status = 'pending' AND order_key <> '';
CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (webhook_id, created_at) WHERE status = 'failed';
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (status, ended_at) WHERE ended_at IS NOT NULL;
