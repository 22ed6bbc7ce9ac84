-- The root key of a token's Biscuit, if there is one.
ALTER TABLE tokens ADD COLUMN biscuit_key_id TEXT;
CREATE INDEX tokens_of_biscuit_key ON tokens (biscuit_key_id, expires_at) WHERE biscuit_key_id IS NOT NULL;
CREATE INDEX tokens_of_biscuits ON tokens (issued_at) WHERE biscuit_key_id IS NOT NULL;

-- Blocks of Biscuits that a developer revoked, by their signatures in hexadecimal digits. Blocks are made without the server,
-- so a row may name one that it never sees.
CREATE TABLE revoked_blocks (
    developer_id TEXT NOT NULL,
    revocation_id TEXT NOT NULL,
    revoked_at BIGINT NOT NULL,
    PRIMARY KEY (developer_id, revocation_id)
);
CREATE INDEX revoked_blocks_age ON revoked_blocks (revoked_at);
