-- Tutorwatch's own tables. None has a foreign key to the platform's: a key would add locks and triggers
-- to the clients' deletes, and make their TRUNCATE fail. What is orphaned is swept away daily.

-- What has changed and not been generated yet. Writers only append: two clients never meet on a row.
CREATE TABLE tutorwatch.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The tutor concerned. NULL with session_ids: look the tutor up; NULL without: every tutor.
    tutor_id varchar(128),
    -- Sessions whose metrics changed. Their tutor is looked up again at the claim: another transaction
    -- may just be moving the session to somebody else, unseen by the writer of the metrics.
    session_ids uuid[],
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
    -- Every row is soon deleted: vacuum by the number of dead rows, not by a share of a table that
    -- may just have been large.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);

-- Tutors whose generation failed. A parked one waits for a new change or for `tutorwatch retry`.
CREATE TABLE tutorwatch.failures (
    tutor_id varchar(128) PRIMARY KEY,
    attempts integer NOT NULL,
    last_error text NOT NULL,
    first_failed_at timestamptz NOT NULL,
    last_failed_at timestamptz NOT NULL,
    -- NULL: parked, or back in the outbox.
    next_attempt_at timestamptz,
    parked_at timestamptz
);
CREATE INDEX failures_due ON tutorwatch.failures (next_attempt_at);

-- Why an alert stands (or stood). Alerts from before Tutorwatch have no row here.
CREATE TABLE tutorwatch.alert_evidence (
    alert_id uuid PRIMARY KEY,
    tutor_id varchar(128) NOT NULL,
    -- The measured value and the limit it was held against; NULL for a duplicate settled at adoption.
    value numeric,
    threshold numeric,
    -- The sessions behind the value, latest first.
    session_ids uuid[] NOT NULL,
    -- All sessions that ever were behind it while it was open: once it is resolved, these have counted.
    counted_session_ids uuid[] NOT NULL,
    refreshed_at timestamptz NOT NULL
);
CREATE INDEX alert_evidence_tutor ON tutorwatch.alert_evidence (tutor_id);

-- Who resolved an alert, and with what outcome (when and by what action is on the alert itself).
CREATE TABLE tutorwatch.alert_resolutions (
    alert_id uuid PRIMARY KEY,
    tutor_id varchar(128) NOT NULL,
    resolved_by varchar(128) NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('coached', 'not_actionable', 'other'))
);
CREATE INDEX alert_resolutions_tutor ON tutorwatch.alert_resolutions (tutor_id);

-- Duplicates found when the platform's database was adopted.
CREATE TABLE tutorwatch.settled_duplicates (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('alert', 'insight')),
    tutor_id varchar(128) NOT NULL,
    kept_id uuid NOT NULL,
    settled_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- When the daily sweep over all tutors was last due; one row, so that one of many listeners takes it.
CREATE TABLE tutorwatch.sweep (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    swept_at timestamptz NOT NULL
);
INSERT INTO tutorwatch.sweep (swept_at) VALUES (clock_timestamp());

-- Listeners at work: each says here every few seconds that it is alive.
CREATE TABLE tutorwatch.listeners (
    listener_id uuid PRIMARY KEY,
    host text NOT NULL,
    process_id integer NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL
);
