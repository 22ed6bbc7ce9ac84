-- Where in its trace a call was: beside what the audit chain hashes, and for the `traceparent` that receivers are sent.
ALTER TABLE audit_entries ADD COLUMN trace_id TEXT;
ALTER TABLE webhook_deliveries ADD COLUMN traceparent TEXT;
