-- The sessions that an alert of a type was based on. Of an open alert they open no other one, whoever's; of
-- one that was resolved, deleted or moved, none ever again: hence no foreign key, and a row for each alert.
CREATE TABLE tutorwatch.consumed_sessions (
    session_id uuid NOT NULL,
    alert_type text NOT NULL,
    alert_id uuid NOT NULL,
    PRIMARY KEY (session_id, alert_type, alert_id)
);
CREATE INDEX consumed_sessions_alert ON tutorwatch.consumed_sessions (alert_id);

-- The switch. Not called: changes are recorded. Called: not since that second of the Unix epoch.
CREATE SEQUENCE tutorwatch.automation_off;

-- A duplicate is resolved by no person.
ALTER TABLE tutorwatch.alert_resolutions
    ALTER COLUMN resolved_by DROP NOT NULL,
    DROP CONSTRAINT alert_resolutions_outcome_check,
    ADD CONSTRAINT alert_resolutions_outcome_check
        CHECK (outcome IN ('coached', 'not_actionable', 'condition_cleared', 'other', 'duplicate'));
