-- The platform's own tables, as deployed (without a single index beyond their keys). Only an empty
-- database gets them from us; on the platform's database they exist already and are left as they are.

CREATE TYPE public.user_role AS ENUM ('admin', 'tutor', 'student');
CREATE TYPE public.session_status AS ENUM
    ('scheduled', 'in_progress', 'completed', 'no_show_tutor', 'no_show_student', 'cancelled', 'rescheduled');
CREATE TYPE public.reschedule_by AS ENUM ('tutor', 'student');
CREATE TYPE public.alert_type AS ENUM
    ('high_talk_ratio', 'low_understanding_checks', 'student_frustration_detected', 'poor_first_session',
     'high_reschedule_rate', 'no_show_pattern', 'declining_performance', 'student_churn_risk');
CREATE TYPE public.alert_severity AS ENUM ('info', 'warning', 'critical');
CREATE TYPE public.insight_type AS ENUM ('strength', 'growth_area', 'achievement');
CREATE TYPE public.insight_category AS ENUM
    ('high_engagement', 'low_engagement', 'high_talk_ratio', 'balanced_talk_ratio',
     'frequent_understanding_checks', 'infrequent_understanding_checks', 'strong_questioning',
     'low_visual_aids', 'high_visual_aids', 'positive_reinforcement', 'first_session_expert');
CREATE TYPE public.subject_category AS ENUM
    ('math', 'science', 'language_arts', 'social_studies', 'foreign_language', 'test_prep',
     'computer_science', 'arts', 'other');
CREATE TYPE public.coaching_note_type AS ENUM ('manual', 'system');
CREATE TYPE public.grade_level AS ENUM
    ('K', '1st', '2nd', '3rd', '4th', '5th', '6th', '7th', '8th', '9th', '10th', '11th', '12th', 'college', 'adult');
CREATE TYPE public.student_status AS ENUM ('active', 'churned', 'paused');

CREATE TABLE public.users (
    id varchar(128) PRIMARY KEY,
    email varchar(255) NOT NULL UNIQUE,
    name varchar(255) NOT NULL,
    preferred_name varchar(255),
    avatar_url varchar(500),
    role public.user_role NOT NULL,
    created_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE public.tutors (
    user_id varchar(128) PRIMARY KEY REFERENCES public.users ON DELETE CASCADE,
    member_since date NOT NULL DEFAULT now(),
    bio text,
    experience text,
    education text,
    teaching_style text,
    hourly_rate numeric(6, 2)
);

CREATE TABLE public.students (
    user_id varchar(128) PRIMARY KEY REFERENCES public.users ON DELETE CASCADE,
    enrolled_since date NOT NULL DEFAULT now(),
    grade_level public.grade_level,
    parent_email varchar(255),
    bio text,
    learning_goals text,
    status public.student_status NOT NULL DEFAULT 'active',
    churned_date date,
    churn_survey_response text
);

CREATE TABLE public.subjects (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar(100) NOT NULL UNIQUE,
    category public.subject_category NOT NULL,
    created_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE public.sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tutor_id varchar(128) NOT NULL REFERENCES public.users ON DELETE CASCADE,
    student_id varchar(128) NOT NULL REFERENCES public.users ON DELETE CASCADE,
    scheduled_start timestamp NOT NULL,
    actual_start timestamp,
    scheduled_duration integer NOT NULL,
    actual_duration integer,
    subject_id uuid NOT NULL REFERENCES public.subjects,
    session_number integer NOT NULL,
    status public.session_status NOT NULL DEFAULT 'scheduled',
    tutor_showed_up boolean NOT NULL DEFAULT true,
    student_showed_up boolean NOT NULL DEFAULT true,
    rescheduled_by public.reschedule_by,
    technical_issues boolean NOT NULL DEFAULT false,
    technical_issues_description text,
    has_audio_analysis boolean NOT NULL DEFAULT false,
    has_video_analysis boolean NOT NULL DEFAULT false,
    has_screen_monitoring boolean NOT NULL DEFAULT false,
    homework_assigned boolean NOT NULL DEFAULT false,
    follow_up_booked boolean NOT NULL DEFAULT false,
    overall_session_score numeric(3, 1) CHECK (overall_session_score BETWEEN 0 AND 10),
    ai_summary text,
    completed_at timestamp,
    created_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE public.session_audio_metrics (
    session_id uuid PRIMARY KEY REFERENCES public.sessions ON DELETE CASCADE,
    tutor_talk_ratio numeric(4, 3) CHECK (tutor_talk_ratio BETWEEN 0 AND 1),
    student_talk_ratio numeric(4, 3) CHECK (student_talk_ratio BETWEEN 0 AND 1),
    productive_silence_ratio numeric(4, 3),
    awkward_pause_ratio numeric(4, 3),
    student_engagement_score numeric(3, 1),
    tutor_enthusiasm_score numeric(3, 1),
    avg_student_response_delay numeric(5, 2),
    long_pauses_count integer NOT NULL DEFAULT 0,
    student_initiated_questions integer NOT NULL DEFAULT 0,
    student_frustration_count integer NOT NULL DEFAULT 0,
    student_confusion_count integer NOT NULL DEFAULT 0,
    positive_moments_count integer NOT NULL DEFAULT 0,
    tutor_checks_understanding_count integer NOT NULL DEFAULT 0,
    tutor_positive_reinforcement_count integer NOT NULL DEFAULT 0,
    concept_re_explanation_count integer NOT NULL DEFAULT 0,
    open_ended_questions integer NOT NULL DEFAULT 0,
    closed_ended_questions integer NOT NULL DEFAULT 0,
    rhetorical_questions integer NOT NULL DEFAULT 0,
    created_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE public.session_video_metrics (
    session_id uuid PRIMARY KEY REFERENCES public.sessions ON DELETE CASCADE,
    student_on_screen_attention_pct numeric(4, 3) CHECK (student_on_screen_attention_pct BETWEEN 0 AND 1),
    student_visual_engagement_score numeric(3, 1),
    distraction_events_count integer NOT NULL DEFAULT 0,
    confusion_moments_count integer NOT NULL DEFAULT 0,
    tutor_uses_visual_aids boolean NOT NULL DEFAULT false,
    student_taking_notes_duration integer NOT NULL DEFAULT 0,
    created_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE public.session_screen_metrics (
    session_id uuid PRIMARY KEY REFERENCES public.sessions ON DELETE CASCADE,
    active_tab_focus_pct numeric(4, 3) CHECK (active_tab_focus_pct BETWEEN 0 AND 1),
    tab_switches_count integer NOT NULL DEFAULT 0,
    whiteboard_usage_minutes integer NOT NULL DEFAULT 0,
    messaging_app_detected boolean NOT NULL DEFAULT false,
    gaming_detected boolean NOT NULL DEFAULT false,
    created_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE public.session_feedback (
    session_id uuid PRIMARY KEY REFERENCES public.sessions ON DELETE CASCADE,
    student_satisfaction_rating integer NOT NULL CHECK (student_satisfaction_rating BETWEEN 1 AND 5),
    feedback_text text,
    submitted_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE public.alerts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tutor_id varchar(128) NOT NULL REFERENCES public.users ON DELETE CASCADE,
    alert_type public.alert_type NOT NULL,
    severity public.alert_severity NOT NULL,
    title varchar(255) NOT NULL,
    description text NOT NULL,
    triggered_date timestamp NOT NULL DEFAULT now(),
    session_id uuid REFERENCES public.sessions ON DELETE SET NULL,
    acknowledged boolean NOT NULL DEFAULT false,
    acknowledged_by varchar(128) REFERENCES public.users ON DELETE SET NULL,
    acknowledged_at timestamp,
    action_taken text,
    resolved boolean NOT NULL DEFAULT false,
    resolved_at timestamp,
    created_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE public.tutor_insights (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tutor_id varchar(128) NOT NULL REFERENCES public.users ON DELETE CASCADE,
    insight_type public.insight_type NOT NULL,
    category public.insight_category NOT NULL,
    display_text text NOT NULL,
    detected_at timestamp NOT NULL DEFAULT now(),
    last_confirmed_at timestamp,
    is_active boolean NOT NULL DEFAULT true,
    resolved_at timestamp,
    sample_sessions uuid[],
    metric_value numeric(5, 2)
);

CREATE TABLE public.coaching_notes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tutor_id varchar(128) NOT NULL REFERENCES public.users ON DELETE CASCADE,
    note_type public.coaching_note_type NOT NULL,
    content text NOT NULL,
    created_by varchar(128) REFERENCES public.users ON DELETE SET NULL,
    created_at timestamp NOT NULL DEFAULT now()
);
CREATE INDEX coaching_notes_tutor_id_idx ON public.coaching_notes (tutor_id);
CREATE INDEX coaching_notes_created_at_idx ON public.coaching_notes (created_at DESC);
