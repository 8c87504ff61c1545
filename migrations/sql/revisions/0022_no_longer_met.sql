-- Null while the condition is met. Value, threshold and sessions stay those of the last time it was.
ALTER TABLE tutorwatch.alert_evidence ADD COLUMN not_met_since timestamptz;
