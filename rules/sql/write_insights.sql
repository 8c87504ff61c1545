-- Of several active ones of a tutor and category the oldest stays.
WITH insight AS MATERIALIZED (
    SELECT new.tutor_id, new.category, new.insight_type, new.display_text, new.metric_value, new.sample_sessions
    FROM json_populate_recordset(NULL::public.tutor_insights, :insights) AS new
), active AS MATERIALIZED (
    SELECT id, tutor_id, category,
           row_number() OVER (PARTITION BY tutor_id, category ORDER BY detected_at, id) AS place
    FROM public.tutor_insights
    WHERE tutor_id = ANY(:tutor_ids) AND is_active AND category::text = ANY(:categories)  -- others are not ours
), confirmed AS (
    UPDATE public.tutor_insights AS held
    SET insight_type = insight.insight_type, display_text = insight.display_text,
        metric_value = insight.metric_value, sample_sessions = insight.sample_sessions, last_confirmed_at = :now
    FROM active JOIN insight ON insight.tutor_id = active.tutor_id AND insight.category = active.category
    WHERE held.id = active.id AND active.place = 1 AND held.is_active
), added AS (
    INSERT INTO public.tutor_insights (tutor_id, category, insight_type, display_text, metric_value,
                                       sample_sessions, detected_at, is_active)
    SELECT tutor_id, category, insight_type, display_text, metric_value, sample_sessions, :now, true
    FROM insight
    WHERE NOT EXISTS (
        SELECT FROM active WHERE active.tutor_id = insight.tutor_id AND active.category = insight.category)
    RETURNING tutor_id, category, insight_type, display_text
), ended AS (
    UPDATE public.tutor_insights AS held
    SET is_active = false, resolved_at = :now
    FROM active
    WHERE held.id = active.id AND held.is_active AND (active.place > 1 OR NOT EXISTS (
        SELECT FROM insight WHERE insight.tutor_id = active.tutor_id AND insight.category = active.category))
    RETURNING held.tutor_id, held.category, active.place
)
SELECT tutor_id, category::text, insight_type::text, display_text FROM added
UNION ALL
SELECT tutor_id, category::text, NULL, NULL FROM ended WHERE place = 1
