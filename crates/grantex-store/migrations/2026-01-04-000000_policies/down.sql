DROP TABLE policy_bundles;
DROP TABLE policies;
ALTER TABLE developers DROP COLUMN policy_version;
