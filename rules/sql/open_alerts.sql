WITH {finding}, may_open AS MATERIALIZED (
    SELECT json_agg(row_to_json(finding)) AS alerts
    FROM (SELECT tutor_id, alert_type, severity, title, description, session_id, resolved_alerts, open_alerts
          FROM finding) AS finding
    WHERE (finding.resolved_alerts, finding.open_alerts) = (
        SELECT count(*) FILTER (WHERE theirs.resolved), count(*) FILTER (WHERE NOT theirs.resolved)
        FROM public.alerts AS theirs
        WHERE theirs.tutor_id = finding.tutor_id AND theirs.alert_type::text = ANY(:types)
    )
), opened AS MATERIALIZED (
    SELECT opened.* FROM may_open CROSS JOIN LATERAL tutorwatch.open_alerts(may_open.alerts, :now) AS opened
    WHERE may_open.alerts IS NOT NULL
), evidence AS (
    INSERT INTO tutorwatch.alert_evidence (alert_id, tutor_id, value, shown, threshold, session_ids, refreshed_at)
    SELECT opened.id, tutor_id, value, shown, threshold, session_ids, clock_timestamp()
    FROM opened JOIN finding USING (tutor_id, type)
), noted AS (
    INSERT INTO tutorwatch.alert_history (alert_id, tutor_id, event, details)
    SELECT id, tutor_id, 'opened', description FROM opened
), consumed AS (
    INSERT INTO tutorwatch.consumed_sessions (session_id, alert_type, alert_id)
    SELECT unnest(session_ids), type, opened.id FROM opened JOIN finding USING (tutor_id, type)
    ON CONFLICT DO NOTHING
)
SELECT tutor_id, type, severity, description FROM opened
