-- What the triggers call. They run in the client's transaction, with the rights of the owner (a client
-- needs none on this schema), and whatever goes wrong in them is a warning: the client's write goes on.

-- Wakes the listeners at commit. Left out where NOTIFY could make the client's own COMMIT fail: with the
-- notification queue nearly full, and where two-phase commit is in use (PREPARE TRANSACTION refuses a
-- transaction that has notified). The listeners then find the outbox row at their next poll.
CREATE OR REPLACE FUNCTION tutorwatch.wake_listeners_v1(tutor_id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_notification_queue_usage() < 0.5 AND current_setting('max_prepared_transactions') = '0' THEN
        PERFORM pg_notify('tutorwatch_changes', coalesce(tutor_id, ''));
    END IF;
END $$;

-- Sessions: records every tutor of the statement for whom a session in an end state came, went or
-- changed in a column that a rule reads.
CREATE OR REPLACE FUNCTION tutorwatch.record_sessions_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    tutors integer;
    any_tutor text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        WITH recorded AS (
            INSERT INTO tutorwatch.outbox (tutor_id)
            SELECT DISTINCT s.tutor_id FROM new_rows AS s
            WHERE s.status NOT IN ('scheduled', 'in_progress')
            RETURNING tutor_id
        )
        SELECT count(*), min(tutor_id) INTO tutors, any_tutor FROM recorded;
    ELSIF TG_OP = 'DELETE' THEN
        WITH recorded AS (
            INSERT INTO tutorwatch.outbox (tutor_id)
            SELECT DISTINCT s.tutor_id FROM old_rows AS s
            WHERE s.status NOT IN ('scheduled', 'in_progress')
            RETURNING tutor_id
        )
        SELECT count(*), min(tutor_id) INTO tutors, any_tutor FROM recorded;
    ELSE
        -- A row that stays the same in these columns appears twice; one that changes, comes into an end
        -- state or leaves one appears once on either side. Grouping instead of a join on the key, because
        -- a plan kept from a one-row update would join a million rows in a nested loop.
        WITH changed AS (
            SELECT s.tutor_id
            FROM (
                SELECT id, tutor_id, student_id, session_number, status, overall_session_score,
                       scheduled_start, completed_at, rescheduled_by
                FROM old_rows
                UNION ALL
                SELECT id, tutor_id, student_id, session_number, status, overall_session_score,
                       scheduled_start, completed_at, rescheduled_by
                FROM new_rows
            ) AS s
            WHERE s.status NOT IN ('scheduled', 'in_progress')
            GROUP BY s.id, s.tutor_id, s.student_id, s.session_number, s.status, s.overall_session_score,
                     s.scheduled_start, s.completed_at, s.rescheduled_by
            HAVING count(*) = 1
        ), recorded AS (
            INSERT INTO tutorwatch.outbox (tutor_id) SELECT DISTINCT tutor_id FROM changed
            RETURNING tutor_id
        )
        SELECT count(*), min(tutor_id) INTO tutors, any_tutor FROM recorded;
    END IF;
    IF tutors > 0 THEN
        PERFORM tutorwatch.wake_listeners_v1(CASE tutors WHEN 1 THEN any_tutor END);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING USING MESSAGE = 'tutorwatch could not record a change of ' || TG_TABLE_NAME || ': ' || SQLERRM,
        HINT = 'The write itself is not affected. The next sweep over all tutors makes up for it.';
    RETURN NULL;
END $$;

-- Records the tutors of the sessions whose metrics changed. In a serializable transaction it leaves looking them
-- up to the claim: what a trigger reads counts as read by the client, who could fail to serialize for it.
CREATE OR REPLACE FUNCTION tutorwatch.record_metrics_of_v1(changed uuid[], sessions_may_be_gone boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    recorded_rows integer;
    any_tutor text;
BEGIN
    IF current_setting('transaction_isolation') = 'serializable' THEN
        INSERT INTO tutorwatch.outbox (session_ids) SELECT changed WHERE cardinality(changed) > 0;
        PERFORM tutorwatch.wake_listeners_v1(NULL);
        RETURN;
    END IF;
    WITH tutors AS (
        SELECT (SELECT s.tutor_id FROM public.sessions AS s WHERE s.id = c.session_id) AS tutor_id, c.session_id
        FROM unnest(changed) AS c (session_id)
    ), recorded AS (
        INSERT INTO tutorwatch.outbox (tutor_id, session_ids)
        SELECT t.tutor_id, array_agg(t.session_id) FROM tutors AS t
        -- Metrics that went with their session are the session's affair. A new row whose session isn't to
        -- be seen is another matter: the writer's snapshot is older than the session.
        WHERE t.tutor_id IS NOT NULL OR NOT sessions_may_be_gone
        GROUP BY t.tutor_id
        RETURNING tutor_id
    )
    SELECT count(*), min(tutor_id) INTO recorded_rows, any_tutor FROM recorded;
    IF recorded_rows > 0 THEN
        PERFORM tutorwatch.wake_listeners_v1(CASE recorded_rows WHEN 1 THEN any_tutor END);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION tutorwatch.record_audio_metrics_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM tutorwatch.record_metrics_of_v1(ARRAY(SELECT session_id FROM new_rows), false);
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM tutorwatch.record_metrics_of_v1(ARRAY(SELECT session_id FROM old_rows), true);
    ELSE
        PERFORM tutorwatch.record_metrics_of_v1(ARRAY(
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
    RAISE WARNING USING MESSAGE = 'tutorwatch could not record a change of ' || TG_TABLE_NAME || ': ' || SQLERRM,
        HINT = 'The write itself is not affected. The next sweep over all tutors makes up for it.';
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tutorwatch.record_video_metrics_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM tutorwatch.record_metrics_of_v1(ARRAY(SELECT session_id FROM new_rows), false);
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM tutorwatch.record_metrics_of_v1(ARRAY(SELECT session_id FROM old_rows), true);
    ELSE
        PERFORM tutorwatch.record_metrics_of_v1(ARRAY(
            SELECT DISTINCT m.session_id
            FROM (
                SELECT session_id, tutor_uses_visual_aids FROM old_rows
                UNION ALL
                SELECT session_id, tutor_uses_visual_aids FROM new_rows
            ) AS m
            GROUP BY m.session_id, m.tutor_uses_visual_aids
            HAVING count(*) = 1
        ), false);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING USING MESSAGE = 'tutorwatch could not record a change of ' || TG_TABLE_NAME || ': ' || SQLERRM,
        HINT = 'The write itself is not affected. The next sweep over all tutors makes up for it.';
    RETURN NULL;
END $$;

-- Alerts: an alert that is resolved, reopened or deleted, by whatever client, may make room for a new one. It
-- also repeats a generation that found the alert open and wanted to refresh it while it was being resolved.
CREATE OR REPLACE FUNCTION tutorwatch.record_alerts_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    tutors integer;
    any_tutor text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        WITH recorded AS (
            INSERT INTO tutorwatch.outbox (tutor_id) SELECT DISTINCT a.tutor_id FROM old_rows AS a
            RETURNING tutor_id
        )
        SELECT count(*), min(tutor_id) INTO tutors, any_tutor FROM recorded;
    ELSE
        WITH changed AS (
            SELECT a.tutor_id
            FROM (
                SELECT id, tutor_id, alert_type, resolved, resolved_at FROM old_rows
                UNION ALL
                SELECT id, tutor_id, alert_type, resolved, resolved_at FROM new_rows
            ) AS a
            GROUP BY a.id, a.tutor_id, a.alert_type, a.resolved, a.resolved_at
            HAVING count(*) = 1
        ), recorded AS (
            INSERT INTO tutorwatch.outbox (tutor_id) SELECT DISTINCT tutor_id FROM changed
            RETURNING tutor_id
        )
        SELECT count(*), min(tutor_id) INTO tutors, any_tutor FROM recorded;
    END IF;
    IF tutors > 0 THEN
        PERFORM tutorwatch.wake_listeners_v1(CASE tutors WHEN 1 THEN any_tutor END);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING USING MESSAGE = 'tutorwatch could not record a change of ' || TG_TABLE_NAME || ': ' || SQLERRM,
        HINT = 'The write itself is not affected. The next sweep over all tutors makes up for it.';
    RETURN NULL;
END $$;

-- TRUNCATE tells no rows: it concerns every tutor.
CREATE OR REPLACE FUNCTION tutorwatch.record_truncate_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    INSERT INTO tutorwatch.outbox DEFAULT VALUES;
    PERFORM tutorwatch.wake_listeners_v1(NULL);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING USING MESSAGE = 'tutorwatch could not record a change of ' || TG_TABLE_NAME || ': ' || SQLERRM,
        HINT = 'The write itself is not affected. The next sweep over all tutors makes up for it.';
    RETURN NULL;
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA tutorwatch FROM PUBLIC;
