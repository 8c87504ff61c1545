-- Notes whose alerts changed in what is shown, for the notification at the commit (wake_dashboards.sql). It runs in the
-- transaction of whoever changes alerts, so nothing here may fail it. The automation switch doesn't concern it: alerts
-- are shown whoever writes them.
DECLARE
    tutors integer;
    any_tutor text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT count(DISTINCT a.tutor_id), min(a.tutor_id) INTO tutors, any_tutor FROM new_rows AS a;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT count(DISTINCT a.tutor_id), min(a.tutor_id) INTO tutors, any_tutor FROM old_rows AS a;
    ELSIF TG_OP = 'UPDATE' THEN
        -- A row that stays the same in what is shown appears twice, one that changes once on either side.
        SELECT count(DISTINCT changed.tutor_id), min(changed.tutor_id) INTO tutors, any_tutor
        FROM (
            SELECT a.tutor_id
            FROM (
                SELECT id, tutor_id, alert_type, severity, title, description, triggered_date, session_id,
                       acknowledged, acknowledged_by, acknowledged_at, action_taken, resolved, resolved_at
                FROM old_rows
                UNION ALL
                SELECT id, tutor_id, alert_type, severity, title, description, triggered_date, session_id,
                       acknowledged, acknowledged_by, acknowledged_at, action_taken, resolved, resolved_at
                FROM new_rows
            ) AS a
            GROUP BY a.id, a.tutor_id, a.alert_type, a.severity, a.title, a.description, a.triggered_date,
                     a.session_id, a.acknowledged, a.acknowledged_by, a.acknowledged_at, a.action_taken,
                     a.resolved, a.resolved_at
            HAVING count(*) = 1
        ) AS changed;
    ELSE
        tutors := 2;  -- TRUNCATE tells no rows
    END IF;
    IF tutors > 0 THEN
        INSERT INTO tutorwatch.announcements (tutor_id) VALUES (CASE tutors WHEN 1 THEN any_tutor END);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING USING MESSAGE = 'tutorwatch could not announce a change of ' || TG_TABLE_NAME || ': ' || SQLERRM,
        HINT = 'The write itself is not affected. Dashboards show it at their next refresh.';
    RETURN NULL;
END
