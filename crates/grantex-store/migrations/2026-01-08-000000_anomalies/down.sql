DROP TABLE anomaly_mutes;
DROP TABLE anomaly_rules;
DROP TABLE anomaly_rule_overrides;
DROP TABLE anomalies;
DROP TABLE agent_activities;
DROP TABLE anomaly_cursors;
