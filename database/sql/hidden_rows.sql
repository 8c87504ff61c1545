-- Tables of the platform's of which row-level security hides rows, by role: of the given role or, where that is NULL, of
-- our own and of all roles as which services run now or that have been given their rights.
SELECT role.rolname::text, pg_catalog.json_agg(c.relname::text ORDER BY c.relname)
FROM pg_catalog.pg_class AS c CROSS JOIN pg_catalog.pg_roles AS role
WHERE c.relnamespace = pg_catalog.to_regnamespace('public') AND c.relname IN ({names}) AND c.relrowsecurity
  AND CASE WHEN {role} IS NOT NULL THEN role.rolname = {role} ELSE role.rolname IN (
      SELECT usename FROM pg_catalog.pg_stat_activity
      WHERE datname = pg_catalog.current_database() AND application_name ~ '^tutorwatch-(listen|worker|web)'
      UNION
      SELECT rolname FROM pg_catalog.pg_class AS own, pg_catalog.aclexplode(own.relacl) AS acl
      JOIN pg_catalog.pg_roles AS grantee ON grantee.oid = acl.grantee
      WHERE own.oid IN (pg_catalog.to_regclass('tutorwatch.outbox'), pg_catalog.to_regclass('tutorwatch.sign_ins'))
        AND privilege_type = 'SELECT'
      UNION
      SELECT CURRENT_USER) END
  AND NOT (rolsuper OR rolbypassrls
           OR (pg_catalog.pg_has_role(role.oid, relowner, 'USAGE') AND NOT relforcerowsecurity))
  AND pg_catalog.has_any_column_privilege(role.oid, c.oid, 'SELECT')
GROUP BY role.rolname ORDER BY role.rolname
