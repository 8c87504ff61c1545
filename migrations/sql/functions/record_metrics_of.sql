-- Records the tutors of the sessions whose metrics changed. In a serializable transaction it leaves looking them
-- up to the claim: what a trigger reads counts as read by the client, who could fail to serialize for it.
BEGIN
    IF current_setting('transaction_isolation') = 'serializable' THEN
        INSERT INTO tutorwatch.outbox (session_ids, wakes) SELECT changed, '' WHERE cardinality(changed) > 0;
        RETURN;
    END IF;
    INSERT INTO tutorwatch.outbox (tutor_id, session_ids, wakes)
    SELECT t.tutor_id, array_agg(t.session_id),
           CASE WHEN count(*) OVER () = 1 THEN coalesce(t.tutor_id, '') WHEN row_number() OVER () = 1 THEN '' END
    FROM (
        SELECT (SELECT s.tutor_id FROM public.sessions AS s WHERE s.id = c.session_id) AS tutor_id, c.session_id
        FROM unnest(changed) AS c (session_id)
    ) AS t
    -- Metrics that went with their session are the session's affair. A new row whose session isn't to
    -- be seen is another matter: the writer's snapshot is older than the session.
    WHERE t.tutor_id IS NOT NULL OR NOT sessions_may_be_gone
    GROUP BY t.tutor_id;
END
