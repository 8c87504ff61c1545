-- What revision 0017, the last one of version 0.1.0, had in a database beside its tables: functions, triggers and
-- indexes, as the catalogs of a database that its program had migrated show them. Tests of upgrades start from it.
CREATE OR REPLACE FUNCTION tutorwatch.announce_alerts_v1()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '100ms'
AS $function$
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
END $function$
;
CREATE OR REPLACE FUNCTION tutorwatch.record_alerts_v1()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '100ms'
AS $function$
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
END $function$
;
CREATE OR REPLACE FUNCTION tutorwatch.record_audio_metrics_v1()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '100ms'
AS $function$
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
END $function$
;
CREATE OR REPLACE FUNCTION tutorwatch.record_metrics_of_v1(changed uuid[], sessions_may_be_gone boolean)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
END $function$
;
CREATE OR REPLACE FUNCTION tutorwatch.record_sessions_v1()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '100ms'
AS $function$
DECLARE
    first_tutor text;
    last_tutor text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT min(s.tutor_id), max(s.tutor_id) INTO first_tutor, last_tutor
        FROM new_rows AS s
        WHERE s.status NOT IN ('scheduled', 'in_progress');
        IF first_tutor = last_tutor THEN
            INSERT INTO tutorwatch.outbox (tutor_id, wakes) VALUES (first_tutor, first_tutor);
        ELSIF first_tutor IS NOT NULL THEN
            INSERT INTO tutorwatch.outbox (tutor_id, wakes)
            SELECT s.tutor_id, CASE WHEN s.tutor_id = first_tutor THEN '' END
            FROM new_rows AS s
            WHERE s.status NOT IN ('scheduled', 'in_progress')
            GROUP BY s.tutor_id;
        END IF;
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
END $function$
;
CREATE OR REPLACE FUNCTION tutorwatch.record_truncate_v1()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '100ms'
AS $function$
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
END $function$
;
CREATE OR REPLACE FUNCTION tutorwatch.record_video_metrics_v1()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '100ms'
AS $function$
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
END $function$
;
CREATE OR REPLACE FUNCTION tutorwatch.wake_dashboards_v2()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF current_setting('max_prepared_transactions') = '0' AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('tutorwatch_alerts', coalesce(NEW.tutor_id, ''));
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $function$
;
CREATE OR REPLACE FUNCTION tutorwatch.wake_listeners_v2()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF current_setting('max_prepared_transactions') = '0'
        AND (pg_trigger_depth() > 1 OR pg_try_advisory_xact_lock(7310118243))
        AND pg_notification_queue_usage() < 0.5
    THEN
        PERFORM pg_notify('tutorwatch_changes', NEW.wakes);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $function$
;
CREATE INDEX tutorwatch_alerts_newest ON public.alerts USING btree (triggered_date DESC, id DESC);
CREATE INDEX tutorwatch_alerts_of_severity ON public.alerts USING btree (severity, triggered_date DESC, id DESC);
CREATE INDEX tutorwatch_alerts_of_type ON public.alerts USING btree (alert_type, triggered_date DESC, id DESC);
CREATE INDEX tutorwatch_alerts_session ON public.alerts USING btree (session_id) WHERE (session_id IS NOT NULL);
CREATE INDEX tutorwatch_alerts_severity ON public.alerts USING btree (severity, triggered_date DESC, id DESC) INCLUDE (tutor_id) WHERE (NOT resolved);
CREATE INDEX tutorwatch_alerts_tutor ON public.alerts USING btree (tutor_id, alert_type);
CREATE INDEX tutorwatch_alerts_unresolved ON public.alerts USING btree (triggered_date DESC, id DESC) WHERE (NOT resolved);
CREATE INDEX tutorwatch_insights_tutor ON public.tutor_insights USING btree (tutor_id);
CREATE UNIQUE INDEX tutorwatch_one_active_insight ON public.tutor_insights USING btree (tutor_id, category) WHERE is_active;
CREATE UNIQUE INDEX tutorwatch_one_open_alert ON public.alerts USING btree (tutor_id, alert_type) WHERE ((NOT resolved) AND (alert_type = ANY (ARRAY['poor_first_session'::alert_type, 'no_show_pattern'::alert_type, 'high_talk_ratio'::alert_type, 'low_understanding_checks'::alert_type, 'high_reschedule_rate'::alert_type, 'declining_performance'::alert_type])));
CREATE INDEX tutorwatch_sessions_failed ON public.sessions USING btree (scheduled_start) INCLUDE (tutor_id, status, rescheduled_by) WHERE (status = ANY (ARRAY['no_show_tutor'::session_status, 'no_show_student'::session_status, 'rescheduled'::session_status]));
CREATE INDEX tutorwatch_sessions_missed ON public.sessions USING btree (tutor_id, scheduled_start) WHERE (status = ANY (ARRAY['no_show_tutor'::session_status, 'rescheduled'::session_status]));
CREATE INDEX tutorwatch_sessions_newest ON public.sessions USING btree (COALESCE(completed_at, scheduled_start) DESC, id DESC);
CREATE INDEX tutorwatch_sessions_of_tutor ON public.sessions USING btree (tutor_id, COALESCE(completed_at, scheduled_start)) INCLUDE (id, student_id, status, completed_at, scheduled_start, session_number, overall_session_score);
CREATE INDEX tutorwatch_sessions_returning ON public.sessions USING btree (tutor_id, student_id) WHERE ((session_number > 1) AND (status <> 'cancelled'::session_status));
CREATE INDEX tutorwatch_users_email ON public.users USING btree (lower((email)::text));
CREATE TRIGGER tutorwatch_announce_delete AFTER DELETE ON public.alerts REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.announce_alerts_v1();
CREATE TRIGGER tutorwatch_announce_insert AFTER INSERT ON public.alerts REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.announce_alerts_v1();
CREATE TRIGGER tutorwatch_announce_truncate AFTER TRUNCATE ON public.alerts FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.announce_alerts_v1();
CREATE TRIGGER tutorwatch_announce_update AFTER UPDATE ON public.alerts REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.announce_alerts_v1();
CREATE TRIGGER tutorwatch_delete AFTER DELETE ON public.alerts REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_alerts_v1();
CREATE TRIGGER tutorwatch_truncate AFTER TRUNCATE ON public.alerts FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_truncate_v1();
CREATE TRIGGER tutorwatch_update AFTER UPDATE ON public.alerts REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_alerts_v1();
CREATE TRIGGER tutorwatch_delete AFTER DELETE ON public.session_audio_metrics REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_audio_metrics_v1();
CREATE TRIGGER tutorwatch_insert AFTER INSERT ON public.session_audio_metrics REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_audio_metrics_v1();
CREATE TRIGGER tutorwatch_truncate AFTER TRUNCATE ON public.session_audio_metrics FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_truncate_v1();
CREATE TRIGGER tutorwatch_update AFTER UPDATE ON public.session_audio_metrics REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_audio_metrics_v1();
CREATE TRIGGER tutorwatch_delete AFTER DELETE ON public.session_video_metrics REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_video_metrics_v1();
CREATE TRIGGER tutorwatch_insert AFTER INSERT ON public.session_video_metrics REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_video_metrics_v1();
CREATE TRIGGER tutorwatch_truncate AFTER TRUNCATE ON public.session_video_metrics FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_truncate_v1();
CREATE TRIGGER tutorwatch_update AFTER UPDATE ON public.session_video_metrics REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_video_metrics_v1();
CREATE TRIGGER tutorwatch_delete AFTER DELETE ON public.sessions REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_sessions_v1();
CREATE TRIGGER tutorwatch_insert AFTER INSERT ON public.sessions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_sessions_v1();
CREATE TRIGGER tutorwatch_truncate AFTER TRUNCATE ON public.sessions FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_truncate_v1();
CREATE TRIGGER tutorwatch_update AFTER UPDATE ON public.sessions REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_sessions_v1();
CREATE CONSTRAINT TRIGGER tutorwatch_wake AFTER INSERT ON tutorwatch.announcements DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tutorwatch.wake_dashboards_v2();
CREATE CONSTRAINT TRIGGER tutorwatch_wake AFTER INSERT ON tutorwatch.outbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.wakes IS NOT NULL)) EXECUTE FUNCTION tutorwatch.wake_listeners_v2();
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA tutorwatch FROM PUBLIC;
UPDATE tutorwatch.alembic_version SET version_num = '0017';
