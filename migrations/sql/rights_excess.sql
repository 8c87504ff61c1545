-- Version 0.1.0 guarded credentials by a policy, which fails where row_security is off.
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
