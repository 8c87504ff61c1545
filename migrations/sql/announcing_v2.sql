-- Version 2 of what tells the dashboards that alerts changed: a notification with the tutor's id, or empty for several
-- tutors, sent when the transaction is about to commit. It runs in the transaction of whoever changes alerts, so
-- nothing here may fail it. It is not part of the automation switch: alerts are shown whoever writes them.

-- Left out where NOTIFY could make the writer's COMMIT fail (see recording_v2.sql); dashboards then learn of the
-- change at their next refresh. The row was there only to be announced: nobody else ever sees it.
CREATE OR REPLACE FUNCTION tutorwatch.wake_dashboards_v2() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM tutorwatch.announcements WHERE id = NEW.id;
    IF current_setting('max_prepared_transactions') = '0' AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('tutorwatch_alerts', coalesce(NEW.tutor_id, ''));
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tutorwatch.announce_alerts_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
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
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA tutorwatch FROM PUBLIC;
