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
EXCEPTION WHEN OTHERS THEN
    BEGIN
        PERFORM tutorwatch.note_unrecorded(TG_TABLE_NAME, SQLERRM);
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- then it is the daily sweep that makes up for it
    END;
    RETURN NULL;
END
