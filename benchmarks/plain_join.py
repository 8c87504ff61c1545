"""The least that any program must do to have two averages per tutor, as a yardstick."""

from typing import LiteralString

PLAIN_JOIN: LiteralString = """
    SELECT sessions.tutor_id, count(*), avg(audio.student_engagement_score),
           avg(video.student_visual_engagement_score)
    FROM public.sessions
    LEFT JOIN public.session_audio_metrics AS audio ON audio.session_id = sessions.id
    LEFT JOIN public.session_video_metrics AS video ON video.session_id = sessions.id
    GROUP BY sessions.tutor_id
"""
"""A count and two averages per tutor over all sessions, in one statement."""
