-- Records the tutors of alerts or insights that come, go or change their state, by whatever client: an alert that is
-- resolved, reopened or deleted may make room for a new one, one that is inserted or moved may be a duplicate. A
-- generation doesn't record its own writes: it would have itself repeated.
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
            SELECT tutor_id
            FROM (SELECT id, {columns} FROM old_rows UNION ALL SELECT id, {columns} FROM new_rows) AS a
            GROUP BY id, {columns}
            HAVING count(*) = 1
        )
        INSERT INTO tutorwatch.outbox (tutor_id, wakes)
        SELECT tutor_id, CASE WHEN count(*) OVER () = 1 THEN tutor_id WHEN row_number() OVER () = 1 THEN '' END
        FROM changed GROUP BY tutor_id;
    END IF;
    RETURN NULL;
{on_error}
END
