DROP TABLE signing_keys;
DROP TABLE events;
DROP TABLE audit_entries;
DROP TABLE tokens;
DROP TABLE grants;
DROP TABLE auth_requests;
DROP TABLE agents;
DROP TABLE developers;
