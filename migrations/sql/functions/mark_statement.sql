-- Tells record_row that this transaction's statements fire statement triggers, which record them. Fires only under
-- session_replication_role = replica, before each statement: the worker that applies a subscription executes none.
CREATE OR REPLACE FUNCTION tutorwatch.mark_statement() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('tutorwatch.statement_triggers', 'fire', true);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;
