-- Tells record_row that this transaction's statements fire statement triggers, which record them. Fires only under
-- session_replication_role = replica, before each statement: the worker that applies a subscription executes none.
BEGIN
    PERFORM set_config('tutorwatch.statement_triggers', 'fire', true);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
