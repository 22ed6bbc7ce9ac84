DROP TABLE webhook_deliveries;
DROP TABLE webhooks;
ALTER TABLE developers DROP COLUMN subscriptions;
