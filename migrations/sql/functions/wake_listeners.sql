-- Wakes the listeners when a transaction that recorded changes is about to commit. NOTIFY makes commits wait for each
-- other, so of the writers that commit at the same moment only one notifies; the listeners look again a little later
-- and find the others' changes too. Left out where NOTIFY could make the client's own COMMIT fail: with the
-- notification queue nearly full, and where two-phase commit is in use (PREPARE TRANSACTION refuses a transaction
-- that has notified). The listeners then find the changes at their next poll.
-- Which one notifies is decided by a lock that nobody waits for, on a view that nobody but the owner has a right on:
-- an advisory lock could be held by any role. Without that view, or the right, everybody notifies.
-- For a client that has said SET CONSTRAINTS ALL IMMEDIATE it runs with each statement, inside the trigger that
-- records, and perhaps long before the commit: then it leaves the lock to others, and notifies all the same.
BEGIN
    IF current_setting('max_prepared_transactions') <> '0' THEN
        RETURN NULL;
    END IF;
    IF pg_trigger_depth() <= 1 THEN
        LOCK TABLE tutorwatch.wake_gate IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
    END IF;
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('tutorwatch_changes', NEW.wakes);
    END IF;
    RETURN NULL;
EXCEPTION
    WHEN lock_not_available THEN
        RETURN NULL;
    WHEN undefined_table OR insufficient_privilege THEN
        BEGIN
            IF pg_notification_queue_usage() < 0.5 THEN
                PERFORM pg_notify('tutorwatch_changes', NEW.wakes);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
        RETURN NULL;
    WHEN OTHERS THEN
        RETURN NULL;
END
