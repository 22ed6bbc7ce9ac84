-- What waits for channels is nothing for webhooks.
DELETE FROM webhook_deliveries WHERE webhook_id IN (SELECT id FROM webhooks WHERE channel IS NOT NULL);
DELETE FROM webhooks WHERE channel IS NOT NULL;
ALTER TABLE webhooks DROP COLUMN channel;
