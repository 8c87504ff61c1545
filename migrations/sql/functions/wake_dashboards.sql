-- Tells the dashboards, at the commit, that alerts changed. It reads no table: what a trigger reads counts as read by
-- the client, and one that is serializable could fail at its COMMIT for what others write there. So the rows that
-- were there only to be announced stay, until a listener removes them (listener/sweep.py).
-- Left out where NOTIFY could make the writer's COMMIT fail (see wake_listeners.sql); dashboards then learn of the
-- change at their next refresh.
BEGIN
    IF current_setting('max_prepared_transactions') = '0' AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('tutorwatch_alerts', coalesce(NEW.tutor_id, ''));
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
