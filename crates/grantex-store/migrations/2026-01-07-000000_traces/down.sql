ALTER TABLE webhook_deliveries DROP COLUMN traceparent;
ALTER TABLE audit_entries DROP COLUMN trace_id;
