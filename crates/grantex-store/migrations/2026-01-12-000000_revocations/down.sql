DROP TABLE revocation_spreads;
DROP TABLE revocation_heads;
DROP TABLE revocations;
