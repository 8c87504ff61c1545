-- TRUNCATE tells no rows: it concerns all tutors. That of alerts is told apart (by an empty list of sessions): with
-- all alerts gone, nothing counts as consumed any more.
BEGIN
    IF pg_sequence_last_value('tutorwatch.automation_off') IS NULL THEN
        INSERT INTO tutorwatch.outbox (session_ids, wakes)
        VALUES (CASE TG_TABLE_NAME WHEN 'alerts' THEN '{}'::uuid[] END, '');
    END IF;
    RETURN NULL;
{on_error}
END
