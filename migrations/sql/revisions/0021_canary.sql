-- One row, so that one of many listeners takes it: when the next test is due, and what came of the latest one.
CREATE TABLE tutorwatch.canary (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tried_at timestamptz,
    -- See migrations/sql/functions/try_recording.sql.
    outcome text CHECK (outcome IN ('recorded', 'unrecorded', 'untried', 'off')),
    problem text,
    seconds double precision,
    -- Since when test changes go unrecorded.
    unrecorded_since timestamptz
);
INSERT INTO tutorwatch.canary DEFAULT VALUES;

-- Test changes of nobody's in the outbox, and who answered them: the latest few.
CREATE TABLE tutorwatch.canary_markers (
    id uuid PRIMARY KEY,
    sent_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    answered_at timestamptz,
    -- Host and process of the listener.
    answered_by text,
    -- Whether a notification woke the listener; else a poll found the marker.
    was_woken boolean
);
