-- Takes back what rights.sql has given, from whatever roles are on record: afterwards they may do nothing here.
DO $$
DECLARE
    given record;
    theirs text := (
        SELECT string_agg(name, ', ')
        FROM unnest(ARRAY[
            'public.users', 'public.tutors', 'public.subjects', 'public.sessions', 'public.session_audio_metrics',
            'public.session_video_metrics', 'public.session_screen_metrics', 'public.session_feedback',
            'public.alerts', 'public.tutor_insights', 'public.coaching_notes'
        ]) AS name
        WHERE to_regclass(name) IS NOT NULL  -- a platform may do without some
    );
BEGIN
    IF to_regclass('tutorwatch.service_roles') IS NULL THEN
        RETURN;
    END IF;
    FOR given IN SELECT DISTINCT rolname, oid FROM tutorwatch.service_roles JOIN pg_roles ON rolname = role LOOP
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA tutorwatch FROM %I', given.rolname);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA tutorwatch FROM %I', given.rolname);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tutorwatch FROM %I', given.rolname);
        EXECUTE format('REVOKE ALL ON SCHEMA tutorwatch FROM %I', given.rolname);
        IF theirs IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON %s FROM %I', theirs, given.rolname);
        END IF;
        IF EXISTS (SELECT FROM pg_namespace, aclexplode(nspacl)
                   WHERE nspname = 'public' AND grantee = given.oid) THEN
            EXECUTE format('REVOKE ALL ON SCHEMA public FROM %I', given.rolname);
        END IF;
        IF EXISTS (SELECT FROM pg_database, aclexplode(datacl)
                   WHERE datname = current_database() AND grantee = given.oid) THEN
            EXECUTE format('REVOKE ALL ON DATABASE %I FROM %I', current_database(), given.rolname);
        END IF;
    END LOOP;
    DELETE FROM tutorwatch.service_roles;
END $$;
