-- Version 4 of what records sessions; all else is as in versions 2 and 3. The function keeps the name that the triggers
-- know: no lock is needed, and a client that is just recording finds it.

-- Sessions: records every tutor of the statement for whom a session in an end state came, went or
-- changed in a column that a rule reads. Inserts are mostly of one tutor, or of sessions that are only scheduled:
-- these do without window functions and without an INSERT that finds nothing (a seventh and a third of what such an
-- insert pays for us: the server's processor time of 5,000 and more each, in turns, 2026-11-27).
CREATE OR REPLACE FUNCTION tutorwatch.record_sessions_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    first_tutor text;
    last_tutor text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT min(s.tutor_id), max(s.tutor_id) INTO first_tutor, last_tutor
        FROM new_rows AS s
        WHERE s.status NOT IN ('scheduled', 'in_progress');
        IF first_tutor = last_tutor THEN
            INSERT INTO tutorwatch.outbox (tutor_id, wakes) VALUES (first_tutor, first_tutor);
        ELSIF first_tutor IS NOT NULL THEN
            INSERT INTO tutorwatch.outbox (tutor_id, wakes)
            SELECT s.tutor_id, CASE WHEN s.tutor_id = first_tutor THEN '' END
            FROM new_rows AS s
            WHERE s.status NOT IN ('scheduled', 'in_progress')
            GROUP BY s.tutor_id;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO tutorwatch.outbox (tutor_id, wakes)
        SELECT s.tutor_id, CASE WHEN count(*) OVER () = 1 THEN s.tutor_id WHEN row_number() OVER () = 1 THEN '' END
        FROM old_rows AS s
        WHERE s.status NOT IN ('scheduled', 'in_progress')
        GROUP BY s.tutor_id;
    ELSE
        -- A row that stays the same in these columns appears twice; one that changes, comes into an end
        -- state or leaves one appears once on either side. Grouping instead of a join on the key, because
        -- a plan kept from a one-row update would join a million rows in a nested loop.
        WITH changed AS (
            SELECT s.tutor_id
            FROM (
                SELECT id, tutor_id, student_id, session_number, status, overall_session_score,
                       scheduled_start, completed_at, rescheduled_by
                FROM old_rows
                UNION ALL
                SELECT id, tutor_id, student_id, session_number, status, overall_session_score,
                       scheduled_start, completed_at, rescheduled_by
                FROM new_rows
            ) AS s
            WHERE s.status NOT IN ('scheduled', 'in_progress')
            GROUP BY s.id, s.tutor_id, s.student_id, s.session_number, s.status, s.overall_session_score,
                     s.scheduled_start, s.completed_at, s.rescheduled_by
            HAVING count(*) = 1
        )
        INSERT INTO tutorwatch.outbox (tutor_id, wakes)
        SELECT tutor_id, CASE WHEN count(*) OVER () = 1 THEN tutor_id WHEN row_number() OVER () = 1 THEN '' END
        FROM changed GROUP BY tutor_id;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING USING MESSAGE = 'tutorwatch could not record a change of ' || TG_TABLE_NAME || ': ' || SQLERRM,
        HINT = 'The write itself is not affected. A listener soon looks at every tutor, which makes up for it.';
    BEGIN
        PERFORM nextval('tutorwatch.unrecorded');
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- then it is the daily sweep that makes up for it
    END;
    RETURN NULL;
END $$;
