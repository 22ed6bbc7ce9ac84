DROP TABLE anomaly_responses;
DROP TABLE anomaly_response_policies;
