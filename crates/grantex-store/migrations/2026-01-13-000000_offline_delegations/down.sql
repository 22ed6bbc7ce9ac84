DROP TABLE offline_delegations;
