-- Records the tutors of sessions whose audio metrics came, went or changed in a column that a rule reads.
CREATE OR REPLACE FUNCTION tutorwatch.record_audio_metrics() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' SET row_security = off
AS $$
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
            SELECT DISTINCT m.session_id
            FROM (
                SELECT session_id, tutor_talk_ratio, student_engagement_score, tutor_checks_understanding_count,
                       tutor_positive_reinforcement_count, open_ended_questions, closed_ended_questions
                FROM old_rows
                UNION ALL
                SELECT session_id, tutor_talk_ratio, student_engagement_score, tutor_checks_understanding_count,
                       tutor_positive_reinforcement_count, open_ended_questions, closed_ended_questions
                FROM new_rows
            ) AS m
            GROUP BY m.session_id, m.tutor_talk_ratio, m.student_engagement_score,
                     m.tutor_checks_understanding_count, m.tutor_positive_reinforcement_count,
                     m.open_ended_questions, m.closed_ended_questions
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
END $$;
