-- Opens alerts, rows of public.alerts as JSON, and returns them. The listener's role may not insert alerts by itself:
-- one that it makes is open, and nobody has acknowledged it. `at` is in UTC.
#variable_conflict use_column
BEGIN
    RETURN QUERY
    INSERT INTO public.alerts AS opened (tutor_id, alert_type, severity, title, description, triggered_date, created_at,
                                         session_id, acknowledged, resolved)
    SELECT alert.tutor_id, alert.alert_type, alert.severity, alert.title, alert.description, at, at,
           alert.session_id, false, false
    FROM json_populate_recordset(NULL::public.alerts, rows) AS alert
    RETURNING opened.id, opened.tutor_id::text, opened.alert_type::text, opened.severity::text,
              opened.description::text;
END
