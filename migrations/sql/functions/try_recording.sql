-- The canary's first part: writes a session and its metrics as a client would, looks after each statement for the row
-- that the triggers must have added to the outbox, and takes all of it back. Returns as JSON what came of it:
-- outcome   "recorded"; "unrecorded": a change took place, and the outbox doesn't show it; "untried": the platform
--           didn't take the test rows, which says nothing of recording; "off": the switch is off
-- problem   which change went unrecorded, or why it couldn't be tried
-- seconds   how long it took
-- Only the listener's role may call it, which may write no session. It can't by this either: the block that writes
-- always ends with an exception, which rolls it back before anything is returned, whatever the caller does afterwards.
-- With it go notifications and deferred triggers, which wait for a commit, and all locks. Triggers of the platform's own
-- do fire.
DECLARE
    began_at timestamptz := clock_timestamp();
    outcome text := 'recorded';
    problem text;
    test_session uuid := gen_random_uuid();
    test_now timestamp := clock_timestamp() AT TIME ZONE 'UTC';
    people jsonb := '{}';
    tutor text;
    took_place boolean;
    before bigint;
    latest bigint;
    test record;
    context text;
BEGIN
    IF pg_sequence_last_value('tutorwatch.automation_off') IS NOT NULL THEN
        RETURN jsonb_build_object('outcome', 'off', 'problem', NULL, 'seconds', 0);
    END IF;
    BEGIN
        before := nextval('tutorwatch.outbox_id_seq');  -- so that currval tells of rows of this very session only
        IF NOT EXISTS (SELECT FROM public.sessions) THEN
            people := jsonb_build_object(
                'tutor_id', (SELECT id FROM public.users WHERE role::text = 'tutor' LIMIT 1),
                'student_id', (SELECT id FROM public.users WHERE role::text = 'student' LIMIT 1));
            IF people -> 'tutor_id' = 'null' OR people -> 'student_id' = 'null' THEN
                RAISE EXCEPTION 'there is no % yet',
                    CASE people -> 'tutor_id' WHEN 'null' THEN 'tutor' ELSE 'student' END;
            END IF;
            IF to_regclass('public.subjects') IS NOT NULL THEN
                people := people || coalesce(
                    (SELECT jsonb_build_object('subject_id', id) FROM public.subjects LIMIT 1), '{}');
            END IF;
        END IF;
        EXECUTE tutorwatch.test_insert('sessions', people || jsonb_build_object(
                'id', test_session, 'status', 'completed', 'scheduled_start', test_now, 'completed_at', test_now,
                'scheduled_duration', 60, 'session_number', 1, 'overall_session_score', 8))
            || ' RETURNING tutor_id, status::text NOT IN (''scheduled'', ''in_progress'')'
        INTO tutor, took_place;
        IF took_place IS NOT TRUE THEN
            RAISE EXCEPTION 'a trigger of the platform''s refuses or alters the test session';
        END IF;

        FOR test IN
            SELECT * FROM (VALUES
                ('a new session', NULL),
                ('new audio metrics', tutorwatch.test_insert('session_audio_metrics',
                    jsonb_build_object('session_id', test_session, 'tutor_talk_ratio', 0.5)) || ' RETURNING true'),
                ('new video metrics', tutorwatch.test_insert('session_video_metrics',
                    jsonb_build_object('session_id', test_session, 'tutor_uses_visual_aids', false))
                    || ' RETURNING true'),
                ('a changed score', 'UPDATE public.sessions SET overall_session_score = 7 WHERE id = $1'
                    ' RETURNING overall_session_score = 7'),
                ('changed audio metrics', 'UPDATE public.session_audio_metrics SET tutor_talk_ratio = 0.25'
                    ' WHERE session_id = $1 RETURNING tutor_talk_ratio = 0.25'),
                ('changed video metrics', 'UPDATE public.session_video_metrics SET tutor_uses_visual_aids = true'
                    ' WHERE session_id = $1 RETURNING tutor_uses_visual_aids'),
                ('deleted video metrics', 'DELETE FROM public.session_video_metrics WHERE session_id = $1'
                    ' RETURNING true'),
                ('deleted audio metrics', 'DELETE FROM public.session_audio_metrics WHERE session_id = $1'
                    ' RETURNING true'),
                ('a deleted session', 'DELETE FROM public.sessions WHERE id = $1 RETURNING true')
            ) AS tests (name, statement)
        LOOP
            IF test.statement IS NOT NULL THEN
                EXECUTE test.statement INTO took_place USING test_session;
                -- The platform's own triggers may do without it: delete by a mark, compute the score themselves.
                CONTINUE WHEN took_place IS NOT TRUE;
            END IF;
            latest := currval('tutorwatch.outbox_id_seq');
            IF latest = before OR NOT EXISTS (
                SELECT FROM tutorwatch.outbox AS o
                WHERE o.id = latest AND (o.tutor_id = tutor OR o.session_ids @> ARRAY[test_session])
            ) THEN
                outcome := 'unrecorded';
                problem := test.name;
                EXIT;
            END IF;
            before := latest;
        END LOOP;
        RAISE EXCEPTION USING ERRCODE = 'TW000', MESSAGE = 'takes back all that was tried';
    EXCEPTION
        WHEN SQLSTATE 'TW000' THEN
            NULL;
        WHEN lock_not_available THEN
            outcome := 'untried';
            problem := 'one of its tables is locked';
        WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
            -- A trigger of ours that fails instead of warning: that, clients meet as well.
            outcome := CASE WHEN context ~ '\mtutorwatch\.(record|mark|note)_\w+\(' THEN 'unrecorded' ELSE 'untried' END;
            problem := SQLERRM;
    END;
    IF pg_sequence_last_value('tutorwatch.automation_off') IS NOT NULL THEN  -- by now
        outcome := 'off';
        problem := NULL;
    END IF;
    RETURN jsonb_build_object('outcome', outcome, 'problem', problem,
        'seconds', extract(epoch FROM clock_timestamp() - began_at));
END
