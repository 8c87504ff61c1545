-- Records the tutors of sessions whose metrics came, went or changed in a column that a rule reads.
BEGIN
    IF pg_sequence_last_value('tutorwatch.automation_off') IS NOT NULL THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        PERFORM tutorwatch.record_metrics_of(ARRAY(SELECT session_id FROM new_rows), false);
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM tutorwatch.record_metrics_of(ARRAY(SELECT session_id FROM old_rows), true);
    ELSE
        PERFORM tutorwatch.record_metrics_of(ARRAY(
            SELECT DISTINCT session_id
            FROM (SELECT {columns} FROM old_rows UNION ALL SELECT {columns} FROM new_rows) AS m
            GROUP BY {columns}
            HAVING count(*) = 1
        ), false);
    END IF;
    RETURN NULL;
{on_error}
END
