-- Takes an alert's resolution back: its outcome, the coaching note that it left, and the acknowledgement that came with
-- it. Its evidence is an open alert's again, and the alert is unattended. Returns the tutor, and why it was refused, if
-- it was: `unknown`, `open` (nothing to take back) or `another` (of the tutor and type is open). The dashboard's role
-- removes neither resolutions nor notes by itself.
DECLARE
    alert record;
    came_with_it boolean;
BEGIN
    SELECT a.tutor_id INTO concerns FROM public.alerts AS a WHERE a.id = alert_id;
    -- As a generation locks its tutors, so that it opens none meanwhile.
    PERFORM pg_advisory_xact_lock(hashtextextended(concerns, lock_seed));
    SELECT a.id, a.tutor_id, a.alert_type, a.resolved, a.resolved_at, a.acknowledged, a.acknowledged_at INTO alert
    FROM public.alerts AS a WHERE a.id = alert_id FOR UPDATE;
    IF NOT FOUND THEN
        refused := 'unknown';
    ELSIF NOT alert.resolved THEN
        refused := 'open';
    ELSIF EXISTS (SELECT FROM public.alerts AS other WHERE other.tutor_id = alert.tutor_id
                  AND other.alert_type = alert.alert_type AND NOT other.resolved) THEN
        refused := 'another';
    ELSE
        came_with_it := NOT alert.acknowledged OR coalesce(alert.acknowledged_at = alert.resolved_at, false);
        UPDATE public.alerts AS a
        SET resolved = false, resolved_at = NULL, action_taken = NULL, acknowledged = NOT came_with_it,
            acknowledged_by = CASE WHEN NOT came_with_it THEN a.acknowledged_by END,
            acknowledged_at = CASE WHEN NOT came_with_it THEN a.acknowledged_at END
        WHERE a.id = alert.id;
        DELETE FROM tutorwatch.alert_resolutions AS resolution WHERE resolution.alert_id = alert.id;
        UPDATE tutorwatch.alert_evidence AS evidence SET is_over = false WHERE evidence.alert_id = alert.id;
        INSERT INTO tutorwatch.alert_attention AS attention (alert_id, tutor_id, reopened_at)
        VALUES (alert.id, alert.tutor_id, clock_timestamp() AT TIME ZONE 'UTC')
        ON CONFLICT ON CONSTRAINT alert_attention_pkey DO UPDATE
        SET reopened_at = excluded.reopened_at,
            session_ids = CASE WHEN NOT came_with_it THEN attention.session_ids END;
        IF to_regclass('public.coaching_notes') IS NOT NULL THEN
            EXECUTE 'DELETE FROM public.coaching_notes AS note WHERE note.tutor_id = $1 AND note.created_at = $2'
                || ' AND note.note_type::text = ''system'' AND starts_with(note.content, ''Alert resolved ('')'
                USING alert.tutor_id, alert.resolved_at;
        END IF;
    END IF;
END
