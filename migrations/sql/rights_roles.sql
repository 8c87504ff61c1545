-- Before the two services' roles are given their rights (migrations/grants.py): whether they may have them. The role that
-- migrates runs it, as often as it likes (no superuser is needed), and again after each migration.

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
