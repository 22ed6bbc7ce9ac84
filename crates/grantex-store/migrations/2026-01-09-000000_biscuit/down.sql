DROP TABLE revoked_blocks;
DROP INDEX tokens_of_biscuits;
DROP INDEX tokens_of_biscuit_key;
ALTER TABLE tokens DROP COLUMN biscuit_key_id;
