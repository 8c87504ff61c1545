-- What the two services may do in the database, and nothing else. The role that migrates runs it, as often as it
-- likes (no superuser is needed), and again after each migration: a new table is nobody's until it is named here.

-- Who has these rights, so that they can be taken back.
CREATE TABLE IF NOT EXISTS tutorwatch.service_roles (service text PRIMARY KEY, role text NOT NULL);
INSERT INTO tutorwatch.service_roles VALUES ('listener', {listener_name}), ('web', {web_name});

DO $$
DECLARE
    chosen record;
BEGIN
    FOR chosen IN SELECT service, role, oid FROM tutorwatch.service_roles LEFT JOIN pg_roles ON rolname = role LOOP
        IF chosen.oid IS NULL THEN
            RAISE EXCEPTION 'There is no role %: create it first, with LOGIN and a password', chosen.role;
        END IF;
        IF pg_has_role(chosen.oid, current_user, 'MEMBER') THEN
            RAISE EXCEPTION 'The role % may do everything already: the % needs a role of its own',
                chosen.role, chosen.service;
        END IF;
        -- Else taking the services' rights back would take these, too.
        IF EXISTS (SELECT FROM pg_class, aclexplode(relacl)
                   WHERE relnamespace = 'public'::regnamespace AND grantee = chosen.oid)
            OR EXISTS (SELECT FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid, aclexplode(attacl)
                       WHERE relnamespace = 'public'::regnamespace AND grantee = chosen.oid
                         AND NOT attisdropped) THEN  -- PostgreSQL 15 keeps the rights on a dropped column
            RAISE EXCEPTION 'The role % has rights on the platform''s tables already: the % needs a role of its own',
                chosen.role, chosen.service;
        END IF;
        IF NOT has_database_privilege(chosen.oid, current_database(), 'CONNECT') THEN
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), chosen.role);
        END IF;
        IF NOT has_schema_privilege(chosen.oid, 'public', 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', chosen.role);
        END IF;
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA tutorwatch TO {listener}, {web};
GRANT SELECT ON tutorwatch.alembic_version TO {listener}, {web};

-- The listener reads what the rules are about,
GRANT SELECT (id, name, role) ON public.users TO {listener};
GRANT SELECT (user_id) ON public.tutors TO {listener};
GRANT SELECT ON public.sessions, public.session_audio_metrics, public.session_video_metrics TO {listener};
-- writes what they find (only a person acknowledges and resolves),
GRANT SELECT, UPDATE (title, description, session_id) ON public.alerts TO {listener};
GRANT EXECUTE ON FUNCTION tutorwatch.open_alerts TO {listener};
GRANT SELECT,
    INSERT (tutor_id, category, insight_type, display_text, metric_value, sample_sessions, detected_at, is_active),
    UPDATE (insight_type, display_text, metric_value, sample_sessions, last_confirmed_at, is_active, resolved_at)
    ON public.tutor_insights TO {listener};
GRANT SELECT, INSERT, UPDATE, DELETE ON tutorwatch.alert_evidence TO {listener};
GRANT SELECT, INSERT, DELETE ON tutorwatch.consumed_sessions TO {listener};
GRANT SELECT, DELETE ON tutorwatch.alert_resolutions TO {listener};
GRANT EXECUTE ON FUNCTION tutorwatch.end_duplicate_alerts TO {listener};
-- and keeps the records of its own work.
GRANT SELECT, INSERT, UPDATE, DELETE ON tutorwatch.outbox, tutorwatch.failures, tutorwatch.listeners TO {listener};
GRANT SELECT, UPDATE ON tutorwatch.sweep TO {listener};
GRANT SELECT ON tutorwatch.unrecorded, tutorwatch.automation_off, tutorwatch.outbox_id_seq TO {listener};
GRANT SELECT, DELETE ON tutorwatch.announcements TO {listener};
GRANT EXECUTE ON FUNCTION tutorwatch.keep_audit_trail TO {listener};
-- For `tutorwatch retry` with its role: what an operator does is on record.
GRANT INSERT (action, outcome, reason, actor, actor_role, actor_by, address, user_id, object, details)
    ON tutorwatch.audit_trail TO {listener};
-- Its canary writes a session by a function that takes it back.
GRANT EXECUTE ON FUNCTION tutorwatch.try_recording TO {listener};
GRANT SELECT, UPDATE ON tutorwatch.canary TO {listener};
GRANT SELECT, INSERT, UPDATE (answered_at, answered_by, was_woken), DELETE ON tutorwatch.canary_markers TO {listener};

-- The dashboard reads what its pages show,
GRANT SELECT (id, email, name, role) ON public.users TO {web};
GRANT SELECT (user_id) ON public.tutors TO {web};
GRANT SELECT ON public.sessions, public.session_audio_metrics, public.session_video_metrics, public.alerts,
    public.tutor_insights, tutorwatch.alert_evidence, tutorwatch.consumed_sessions, tutorwatch.alert_resolutions,
    tutorwatch.failures, tutorwatch.listeners, tutorwatch.sweep, tutorwatch.outbox_id_seq, tutorwatch.unrecorded,
    tutorwatch.automation_off TO {web};
GRANT SELECT (recorded_at, session_ids) ON tutorwatch.outbox TO {web};
GRANT SELECT ON tutorwatch.canary, tutorwatch.canary_markers TO {web};
-- writes what admins do,
GRANT UPDATE (acknowledged, acknowledged_by, acknowledged_at, resolved, resolved_at, action_taken)
    ON public.alerts TO {web};
GRANT INSERT, UPDATE (tutor_id, resolved_by, outcome, resolved_at, message_to_tutor)
    ON tutorwatch.alert_resolutions TO {web};
GRANT UPDATE (attempts, next_attempt_at, parked_at, unfinished, wanted) ON tutorwatch.failures TO {web};
-- and keeps a record of it that it can't change.
GRANT SELECT, INSERT (action, outcome, reason, actor, actor_role, actor_by, address, user_id, object, details)
    ON tutorwatch.audit_trail TO {web};
-- It signs people in, by functions that ask for a proof, and out. It makes no account, password, link or token.
GRANT SELECT, UPDATE (seen_at), DELETE ON tutorwatch.sign_ins TO {web};
GRANT SELECT, DELETE ON tutorwatch.sign_in_links TO {web};
GRANT SELECT, INSERT, DELETE ON tutorwatch.sign_in_failures TO {web};
GRANT SELECT, INSERT, UPDATE (locked_at), DELETE ON tutorwatch.sign_in_locks TO {web};
GRANT SELECT, INSERT, UPDATE (seen_at), DELETE ON tutorwatch.known_browsers TO {web};
GRANT SELECT, UPDATE (last_used_at) ON tutorwatch.api_tokens TO {web};
GRANT EXECUTE ON FUNCTION tutorwatch.password_parameters TO {web};
GRANT EXECUTE ON FUNCTION tutorwatch.sign_in_with_password TO {web};
GRANT EXECUTE ON FUNCTION tutorwatch.replace_password TO {web};
GRANT EXECUTE ON FUNCTION tutorwatch.sign_in_with_link TO {web};
GRANT EXECUTE ON FUNCTION tutorwatch.set_password_with_link TO {web};

-- A platform may do without these: what it hasn't got, nobody needs a right on.
DO $optional$
BEGIN
    BEGIN
        GRANT SELECT (member_since) ON public.tutors TO {web};
    EXCEPTION WHEN undefined_column THEN
    END;
    BEGIN
        GRANT SELECT ON public.subjects TO {web};
    EXCEPTION WHEN undefined_table THEN
    END;
    BEGIN
        GRANT SELECT ON public.session_screen_metrics TO {web};
    EXCEPTION WHEN undefined_table THEN
    END;
    BEGIN
        GRANT SELECT ON public.session_feedback TO {web};
    EXCEPTION WHEN undefined_table THEN
    END;
    BEGIN
        GRANT SELECT ON public.coaching_notes TO {web};
        GRANT INSERT (tutor_id, note_type, content, created_by, created_at) ON public.coaching_notes TO {web};
    EXCEPTION WHEN undefined_table OR undefined_column THEN
    END;
END $optional$;

-- In version 0.1.0 a policy did that, which goes wrong where row_security is off.
DROP POLICY IF EXISTS signing_in ON tutorwatch.credentials;
ALTER TABLE tutorwatch.credentials DISABLE ROW LEVEL SECURITY;

-- What these roles may do beyond that, by way of other grants, is said, not changed: it isn't ours.
DO $$
DECLARE
    excess record;
BEGIN
    FOR excess IN
        WITH roles AS (SELECT DISTINCT pg_roles.* FROM tutorwatch.service_roles JOIN pg_roles ON rolname = role)
        SELECT rolname, 'creates objects in schema public' AS act
        FROM roles WHERE has_schema_privilege(oid, 'public', 'CREATE')
        UNION ALL
        SELECT rolname, 'creates schemas' FROM roles WHERE has_database_privilege(oid, current_database(), 'CREATE')
        UNION ALL
        SELECT rolname, 'writes ' || quote_ident(c.relname)
        FROM roles, pg_class AS c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
          AND c.relname NOT IN ('alerts', 'tutor_insights', 'coaching_notes')
          AND (has_any_column_privilege(roles.oid, c.oid, 'INSERT, UPDATE')
               OR has_table_privilege(roles.oid, c.oid, 'DELETE, TRUNCATE'))
        UNION ALL
        SELECT rolname, 'makes roles or databases' FROM roles WHERE rolcreaterole OR rolcreatedb
        UNION ALL
        -- Where the platform hides rows, a service must see them all the same.
        SELECT rolname, 'bypasses row security' FROM roles
        WHERE rolbypassrls AND NOT EXISTS (
            SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relrowsecurity)
        UNION ALL
        SELECT rolname, 'may act as ' || roleid::regrole FROM roles JOIN pg_auth_members ON member = roles.oid
    LOOP
        RAISE WARNING 'The role % also %', excess.rolname, excess.act;
    END LOOP;
END $$;
