-- Records every tutor of the statement for whom a session in an end state came, went or changed in a column that a
-- rule reads. Runs in the client's transaction with the owner's rights; whatever goes wrong is a warning.
DECLARE
    first_tutor text;
    last_tutor text;
BEGIN
    IF pg_sequence_last_value('tutorwatch.automation_off') IS NOT NULL THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        -- Inserts are mostly of one tutor, or of sessions that are only scheduled: these are kept cheap.
        SELECT min(s.tutor_id), max(s.tutor_id) INTO first_tutor, last_tutor
        FROM new_rows AS s
        WHERE s.status::text NOT IN ('scheduled', 'in_progress');
        IF first_tutor = last_tutor THEN
            INSERT INTO tutorwatch.outbox (tutor_id, wakes) VALUES (first_tutor, first_tutor);
        ELSIF first_tutor IS NOT NULL THEN
            INSERT INTO tutorwatch.outbox (tutor_id, wakes)
            SELECT s.tutor_id, CASE WHEN s.tutor_id = first_tutor THEN '' END
            FROM new_rows AS s
            WHERE s.status::text NOT IN ('scheduled', 'in_progress')
            GROUP BY s.tutor_id;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO tutorwatch.outbox (tutor_id, wakes)
        SELECT s.tutor_id, CASE WHEN count(*) OVER () = 1 THEN s.tutor_id WHEN row_number() OVER () = 1 THEN '' END
        FROM old_rows AS s
        WHERE s.status::text NOT IN ('scheduled', 'in_progress')
        GROUP BY s.tutor_id;
    ELSE
        -- A row that stays the same in these columns appears twice; one that changes, comes into an end
        -- state or leaves one appears once on either side. Grouping instead of a join on the key, because
        -- a plan kept from a one-row update would join a million rows in a nested loop.
        WITH changed AS (
            SELECT tutor_id
            FROM (SELECT id, {columns} FROM old_rows UNION ALL SELECT id, {columns} FROM new_rows) AS s
            WHERE status::text NOT IN ('scheduled', 'in_progress')
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
