-- Version 2 of what the triggers call: one writer at a time pays for waking the listeners. The functions keep the
-- names that the triggers know. They run in the client's transaction, with the rights of the owner (a client needs
-- none on this schema), and whatever goes wrong in them is a warning: the client's write goes on.

-- Wakes the listeners when a transaction that recorded changes is about to commit. NOTIFY makes commits wait for each
-- other, so of the writers that commit at the same moment only one notifies; the listeners look again a little later
-- and find the others' changes too. Left out where NOTIFY could make the client's own COMMIT fail: with the
-- notification queue nearly full, and where two-phase commit is in use (PREPARE TRANSACTION refuses a transaction
-- that has notified). The listeners then find the changes at their next poll.
CREATE OR REPLACE FUNCTION tutorwatch.wake_listeners_v2() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('max_prepared_transactions') = '0'
        AND pg_try_advisory_xact_lock(7310118243)
        AND pg_notification_queue_usage() < 0.5
    THEN
        PERFORM pg_notify('tutorwatch_changes', NEW.wakes);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

-- Sessions: records every tutor of the statement for whom a session in an end state came, went or
-- changed in a column that a rule reads.
CREATE OR REPLACE FUNCTION tutorwatch.record_sessions_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO tutorwatch.outbox (tutor_id, wakes)
        SELECT s.tutor_id, CASE WHEN count(*) OVER () = 1 THEN s.tutor_id WHEN row_number() OVER () = 1 THEN '' END
        FROM new_rows AS s
        WHERE s.status NOT IN ('scheduled', 'in_progress')
        GROUP BY s.tutor_id;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO tutorwatch.outbox (tutor_id, wakes)
        SELECT s.tutor_id, CASE WHEN count(*) OVER () = 1 THEN s.tutor_id WHEN row_number() OVER () = 1 THEN '' END
        FROM old_rows AS s
        WHERE s.status NOT IN ('scheduled', 'in_progress')
        GROUP BY s.tutor_id;
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
        )
        INSERT INTO tutorwatch.outbox (tutor_id, wakes)
        SELECT tutor_id, CASE WHEN count(*) OVER () = 1 THEN tutor_id WHEN row_number() OVER () = 1 THEN '' END
        FROM changed GROUP BY tutor_id;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING USING MESSAGE = 'tutorwatch could not record a change of ' || TG_TABLE_NAME || ': ' || SQLERRM,
        HINT = 'The write itself is not affected. A listener soon looks at every tutor, which makes up for it.';
    BEGIN
        PERFORM nextval('tutorwatch.unrecorded');
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- then it is the daily sweep that makes up for it
    END;
    RETURN NULL;
END $$;

-- Records the tutors of the sessions whose metrics changed. In a serializable transaction it leaves looking them
-- up to the claim: what a trigger reads counts as read by the client, who could fail to serialize for it.
CREATE OR REPLACE FUNCTION tutorwatch.record_metrics_of_v1(changed uuid[], sessions_may_be_gone boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') = 'serializable' THEN
        INSERT INTO tutorwatch.outbox (session_ids, wakes) SELECT changed, '' WHERE cardinality(changed) > 0;
        RETURN;
    END IF;
    INSERT INTO tutorwatch.outbox (tutor_id, session_ids, wakes)
    SELECT t.tutor_id, array_agg(t.session_id),
           CASE WHEN count(*) OVER () = 1 THEN coalesce(t.tutor_id, '') WHEN row_number() OVER () = 1 THEN '' END
    FROM (
        SELECT (SELECT s.tutor_id FROM public.sessions AS s WHERE s.id = c.session_id) AS tutor_id, c.session_id
        FROM unnest(changed) AS c (session_id)
    ) AS t
    -- Metrics that went with their session are the session's affair. A new row whose session isn't to
    -- be seen is another matter: the writer's snapshot is older than the session.
    WHERE t.tutor_id IS NOT NULL OR NOT sessions_may_be_gone
    GROUP BY t.tutor_id;
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
        HINT = 'The write itself is not affected. A listener soon looks at every tutor, which makes up for it.';
    BEGIN
        PERFORM nextval('tutorwatch.unrecorded');
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- then it is the daily sweep that makes up for it
    END;
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
        HINT = 'The write itself is not affected. A listener soon looks at every tutor, which makes up for it.';
    BEGIN
        PERFORM nextval('tutorwatch.unrecorded');
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- then it is the daily sweep that makes up for it
    END;
    RETURN NULL;
END $$;

-- Alerts: an alert that is resolved, reopened or deleted, by whatever client, may make room for a new one. It
-- also repeats a generation that found the alert open and wanted to refresh it while it was being resolved.
CREATE OR REPLACE FUNCTION tutorwatch.record_alerts_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO tutorwatch.outbox (tutor_id, wakes)
        SELECT a.tutor_id, CASE WHEN count(*) OVER () = 1 THEN a.tutor_id WHEN row_number() OVER () = 1 THEN '' END
        FROM old_rows AS a GROUP BY a.tutor_id;
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
        )
        INSERT INTO tutorwatch.outbox (tutor_id, wakes)
        SELECT tutor_id, CASE WHEN count(*) OVER () = 1 THEN tutor_id WHEN row_number() OVER () = 1 THEN '' END
        FROM changed GROUP BY tutor_id;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING USING MESSAGE = 'tutorwatch could not record a change of ' || TG_TABLE_NAME || ': ' || SQLERRM,
        HINT = 'The write itself is not affected. A listener soon looks at every tutor, which makes up for it.';
    BEGIN
        PERFORM nextval('tutorwatch.unrecorded');
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- then it is the daily sweep that makes up for it
    END;
    RETURN NULL;
END $$;

-- TRUNCATE tells no rows: it concerns every tutor.
CREATE OR REPLACE FUNCTION tutorwatch.record_truncate_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    INSERT INTO tutorwatch.outbox (wakes) VALUES ('');
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING USING MESSAGE = 'tutorwatch could not record a change of ' || TG_TABLE_NAME || ': ' || SQLERRM,
        HINT = 'The write itself is not affected. A listener soon looks at every tutor, which makes up for it.';
    BEGIN
        PERFORM nextval('tutorwatch.unrecorded');
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- then it is the daily sweep that makes up for it
    END;
    RETURN NULL;
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA tutorwatch FROM PUBLIC;
