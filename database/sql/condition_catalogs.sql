-- What the catalogs say of the condition of the system (platform_schema.sql and broken_triggers.sql, in one
-- round trip).
SELECT ({schema}) AS schema,
       ARRAY(SELECT format('trigger %s on %s %s', trigger, table_name, problem)
             FROM ({broken_triggers}) AS broken) AS broken_triggers,
       ARRAY(SELECT name
             FROM unnest(ARRAY['alembic_version', 'outbox', 'failures', 'sweep', 'listeners', 'automation_off',
                               'canary', 'canary_markers']) AS name
             WHERE pg_catalog.to_regclass('tutorwatch.' || name) IS NULL) AS lost
