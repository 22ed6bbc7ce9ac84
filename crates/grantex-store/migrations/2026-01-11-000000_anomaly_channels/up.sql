-- Channels for anomalies: endpoints that are no webhooks. JSON with type, name, severities, and configuration without secrets.
ALTER TABLE webhooks ADD COLUMN channel TEXT;
