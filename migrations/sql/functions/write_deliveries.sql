-- Writes a delivery for each entry of an alert's history and each channel that tells it, in the transaction that writes
-- the history: either both are there or neither. What comes of a backfill is told by no delivery: its transactions say
-- so in tutorwatch.cause. An error here fails the generation, which is tried again.
BEGIN
    IF coalesce(current_setting('tutorwatch.cause', true), '') NOT IN ('', 'live')
       OR NOT EXISTS (SELECT FROM tutorwatch.channels WHERE is_on) THEN
        RETURN NULL;
    END IF;
    INSERT INTO tutorwatch.deliveries (alert_id, tutor_id, history_id, event, details, channel_id)
    SELECT entry.alert_id, entry.tutor_id, entry.id, entry.event, entry.details, channel.id
    FROM new_rows AS entry
    JOIN public.alerts AS alert ON alert.id = entry.alert_id
    JOIN tutorwatch.channels AS channel
        ON (channel.severities IS NULL OR alert.severity::text = ANY(channel.severities))
        AND (channel.types IS NULL OR alert.alert_type::text = ANY(channel.types))
        AND (channel.events IS NULL OR entry.event = ANY(channel.events))
    WHERE channel.is_on
    ON CONFLICT DO NOTHING;
    -- Left out where it could make the COMMIT fail (see wake_listeners.sql): the next poll finds them.
    IF FOUND AND current_setting('max_prepared_transactions') = '0' AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('tutorwatch_deliveries', '');
    END IF;
    RETURN NULL;
END
