-- The revocation feed: what ended or interrupted the use of grants and tokens, in the order of commits.
CREATE TABLE revocations (
    developer_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    action TEXT NOT NULL,
    -- A grant's id; of `token_revoked` a token's id or a block's revocation id.
    subject TEXT NOT NULL,
    -- From when on it cannot be used anyway.
    expires_at BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- SHA-256 over the hash before and this entry; empty for what was revoked before there was a feed.
    hash TEXT NOT NULL,
    -- Whether it is the latest entry of its subject.
    is_latest BOOLEAN NOT NULL,
    PRIMARY KEY (developer_id, seq)
);
CREATE INDEX revocations_of_subject ON revocations (developer_id, subject) WHERE is_latest;
CREATE INDEX revocations_ended ON revocations (expires_at) WHERE is_latest;
CREATE INDEX revocations_followed ON revocations (at) WHERE NOT is_latest;

-- How far each feed goes. Guarded by the lock on the developer's row, and apart from it, so that issuing tokens pays nothing for it.
CREATE TABLE revocation_heads (
    developer_id TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
);

-- Agents that were suspended, resumed or deleted and have more grants than one transaction tells of: where to go on.
CREATE TABLE revocation_spreads (
    agent_id TEXT NOT NULL PRIMARY KEY,
    developer_id TEXT NOT NULL,
    action TEXT NOT NULL,
    after_at BIGINT NOT NULL,
    after_id TEXT NOT NULL
);

-- What is revoked or suspended already and may not be over. Nothing here knows the time, but tokens were issued until lately.
WITH RECURSIVE
lately (at) AS (SELECT COALESCE(MAX(issued_at), 0) FROM tokens),
-- Deleted agents count as suspended until all their grants are revoked.
interrupted (id, developer_id, expires_at, at) AS (
    SELECT g.id, g.developer_id, g.expires_at, COALESCE(a.deleted_at, a.updated_at)
    FROM agents a JOIN grants g ON g.agent_id = a.id
    WHERE (a.status <> 'active' OR a.deleted_at IS NOT NULL) AND a.cleared_at IS NULL AND g.revoked_at IS NULL
    UNION ALL
    SELECT g.id, g.developer_id, g.expires_at, i.at
    FROM interrupted i JOIN grants g ON g.parent_grant_id = i.id
    WHERE g.revoked_at IS NULL
),
found (developer_id, action, subject, expires_at, at) AS (
    SELECT developer_id, 'revoked', id, expires_at, revoked_at FROM grants WHERE revoked_at IS NOT NULL
    UNION ALL
    SELECT developer_id, 'suspended', id, expires_at, MIN(at) FROM interrupted GROUP BY developer_id, id, expires_at
    UNION ALL
    SELECT developer_id, 'token_revoked', id, expires_at, revoked_at FROM tokens WHERE revoked_at IS NOT NULL
    UNION ALL
    -- A block is good for nothing when no Biscuit lives.
    SELECT b.developer_id, 'token_revoked', b.revocation_id, MAX(t.expires_at), b.revoked_at
    FROM revoked_blocks b JOIN tokens t ON t.biscuit_key_id IS NOT NULL AND t.developer_id = b.developer_id
    GROUP BY b.developer_id, b.revocation_id, b.revoked_at
)
INSERT INTO revocations (developer_id, seq, action, subject, expires_at, at, hash, is_latest)
SELECT f.developer_id, ROW_NUMBER() OVER (PARTITION BY f.developer_id ORDER BY f.at, f.subject), f.action, f.subject, f.expires_at, f.at,
    '', TRUE
FROM found f, lately
WHERE f.expires_at > lately.at;

INSERT INTO revocation_heads (developer_id, seq, hash)
SELECT developer_id, MAX(seq), '' FROM revocations GROUP BY developer_id;
