-- Insights that come, go or change their state, by whatever client. A generation doesn't record its own writes: it would
-- have itself repeated.
CREATE OR REPLACE FUNCTION tutorwatch.record_insights() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' SET row_security = off
AS $$
BEGIN
    IF current_setting('tutorwatch.generating', true) = 'on'
        OR pg_sequence_last_value('tutorwatch.automation_off') IS NOT NULL
    THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO tutorwatch.outbox (tutor_id, wakes)
        SELECT a.tutor_id, CASE WHEN count(*) OVER () = 1 THEN a.tutor_id WHEN row_number() OVER () = 1 THEN '' END
        FROM new_rows AS a GROUP BY a.tutor_id;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO tutorwatch.outbox (tutor_id, wakes)
        SELECT a.tutor_id, CASE WHEN count(*) OVER () = 1 THEN a.tutor_id WHEN row_number() OVER () = 1 THEN '' END
        FROM old_rows AS a GROUP BY a.tutor_id;
    ELSE
        WITH changed AS (
            SELECT a.tutor_id
            FROM (
                SELECT id, tutor_id, category, is_active FROM old_rows
                UNION ALL
                SELECT id, tutor_id, category, is_active FROM new_rows
            ) AS a
            GROUP BY a.id, a.tutor_id, a.category, a.is_active
            HAVING count(*) = 1
        )
        INSERT INTO tutorwatch.outbox (tutor_id, wakes)
        SELECT tutor_id, CASE WHEN count(*) OVER () = 1 THEN tutor_id WHEN row_number() OVER () = 1 THEN '' END
        FROM changed GROUP BY tutor_id;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    BEGIN
        PERFORM tutorwatch.note_unrecorded(TG_TABLE_NAME, SQLERRM);
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- then it is the daily sweep that makes up for it
    END;
    RETURN NULL;
END $$;
