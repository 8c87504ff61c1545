-- Tutorwatch's own tables as revision 0017 left them. None has a foreign key to the platform's: a key would add locks
-- and triggers to the clients' deletes, and make their TRUNCATE fail. What is orphaned is removed daily.

-- What has changed and has not been processed yet. Writers only append: two clients never meet on a row.
CREATE TABLE tutorwatch.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The tutor concerned. NULL with session_ids: look the tutor up; NULL without: all tutors.
    tutor_id varchar(128),
    -- Sessions whose metrics changed. Their tutor is looked up again at the claim: another transaction
    -- may just be moving the session to somebody else, unseen by the writer of the metrics.
    session_ids uuid[],
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- On one of the rows of each statement: the payload of the notification for it.
    wakes text
) WITH (
    -- Every row is soon deleted: vacuum by the number of dead rows, not by a share of a table that
    -- may just have been large.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);

-- Counts changes that could not be recorded: a sequence keeps what a rollback would take back.
CREATE SEQUENCE tutorwatch.unrecorded;

-- Changes of alerts, from their statement to the commit that announces them to dashboards.
CREATE TABLE tutorwatch.announcements (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tutor_id varchar(128)
);

-- Tutors whose generation failed. A dead-lettered one waits for a new change or for `tutorwatch retry`.
CREATE TABLE tutorwatch.failures (
    tutor_id varchar(128) PRIMARY KEY,
    attempts integer NOT NULL,
    last_error text NOT NULL,
    first_failed_at timestamptz NOT NULL,
    last_failed_at timestamptz NOT NULL,
    -- NULL: dead-lettered, or back in the outbox.
    next_attempt_at timestamptz,
    parked_at timestamptz,
    -- The latest attempt has begun and has not been reported: it is under way, or its listener died of it.
    unfinished boolean NOT NULL DEFAULT false,
    -- A generation is wanted whatever becomes of the attempt under way: a change came after it began.
    wanted boolean NOT NULL DEFAULT false
);
CREATE INDEX failures_due ON tutorwatch.failures (next_attempt_at);

-- Why an alert stands (or stood). Alerts from before Tutorwatch have no row here.
CREATE TABLE tutorwatch.alert_evidence (
    alert_id uuid NOT NULL,
    tutor_id varchar(128) NOT NULL,
    -- The measured value and the threshold; NULL for a duplicate.
    value numeric,
    threshold numeric,
    -- The sessions behind the value, latest first.
    session_ids uuid[] NOT NULL,
    -- All sessions that ever were behind it while it was open.
    counted_session_ids uuid[] NOT NULL,
    refreshed_at timestamptz NOT NULL,
    PRIMARY KEY (tutor_id, alert_id)
);

-- Who resolved an alert, and with what outcome (when and by what action is on the alert itself).
CREATE TABLE tutorwatch.alert_resolutions (
    alert_id uuid NOT NULL,
    tutor_id varchar(128) NOT NULL,
    resolved_by varchar(128) NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('coached', 'not_actionable', 'other')),
    -- The alert's own resolved_at of that time: where it is another one by now, somebody else resolved it since.
    resolved_at timestamp,
    PRIMARY KEY (tutor_id, alert_id)
);

-- Duplicates found when the platform's database was adopted.
CREATE TABLE tutorwatch.settled_duplicates (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('alert', 'insight')),
    tutor_id varchar(128) NOT NULL,
    kept_id uuid NOT NULL,
    settled_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What the listeners do now and then; one row, so that one of many listeners takes it.
CREATE TABLE tutorwatch.sweep (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- When all tutors were last re-evaluated.
    swept_at timestamptz NOT NULL,
    unrecorded_seen bigint NOT NULL DEFAULT 0,
    -- All tutors are to be re-evaluated once more when all transactions before this one have ended.
    again_after xid8,
    -- Partitions that have been seen: rows that come or go with one fire no trigger.
    partitions_seen oid[] NOT NULL DEFAULT '{}'
);
INSERT INTO tutorwatch.sweep (swept_at, partitions_seen) VALUES (clock_timestamp(), ARRAY(
    SELECT part.relid::oid
    FROM unnest('{public.sessions,public.session_audio_metrics,public.session_video_metrics}'::regclass[]) AS whole,
        pg_partition_tree(whole) AS part
    WHERE part.isleaf ORDER BY 1
));

-- Listeners at work: each says here every few seconds that it is alive.
CREATE TABLE tutorwatch.listeners (
    listener_id uuid PRIMARY KEY,
    host text NOT NULL,
    process_id integer NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    -- What it has done since its start, and whether something keeps it from evaluating.
    figures jsonb NOT NULL DEFAULT '{}'
);

-- Who may sign in, and who is. Secrets are kept as hashes only: SHA-256 of random tokens, argon2id of passwords.
CREATE TABLE tutorwatch.credentials (
    user_id varchar(128) PRIMARY KEY,
    password_hash text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Browsers that are signed in.
CREATE TABLE tutorwatch.sign_ins (
    token_hash bytea PRIMARY KEY,
    user_id varchar(128) NOT NULL,
    signed_in_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX sign_ins_user ON tutorwatch.sign_ins (user_id);

-- Links that sign in once, without a password.
CREATE TABLE tutorwatch.sign_in_links (
    token_hash bytea PRIMARY KEY,
    user_id varchar(128) NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Failed attempts, by address and by account, which slow down the next ones. An attempt is noted before the
-- password is checked, so that many at once can't all be the first.
CREATE TABLE tutorwatch.sign_in_failures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- A digest: what somebody typed as an account may be a password.
    subject bytea NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX sign_in_failures_subject ON tutorwatch.sign_in_failures (subject, failed_at);

-- Tokens of programs. With a user, a token acts in that person's name; without, it only reads.
CREATE TABLE tutorwatch.api_tokens (
    name text PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    user_id varchar(128),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at timestamptz,
    revoked_at timestamptz
);
