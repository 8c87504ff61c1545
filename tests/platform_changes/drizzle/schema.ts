// The platform's tables as its own code declares them: the twin of migrations/sql/platform_tables.sql.
// A push of it to the bare platform changes nothing; a test holds the two together.
import { sql } from "drizzle-orm";
import {
  boolean, check, date, foreignKey, index, integer, numeric, pgEnum, pgTable, text, timestamp, unique, uuid, varchar,
} from "drizzle-orm/pg-core";

export const alertSeverity = pgEnum("alert_severity", ["info", "warning", "critical"]);
export const alertType = pgEnum("alert_type", [
  "high_talk_ratio", "low_understanding_checks", "student_frustration_detected", "poor_first_session",
  "high_reschedule_rate", "no_show_pattern", "declining_performance", "student_churn_risk",
]);
export const coachingNoteType = pgEnum("coaching_note_type", ["manual", "system"]);
export const gradeLevel = pgEnum("grade_level", [
  "K", "1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th", "11th", "12th", "college", "adult",
]);
export const insightCategory = pgEnum("insight_category", [
  "high_engagement", "low_engagement", "high_talk_ratio", "balanced_talk_ratio", "frequent_understanding_checks",
  "infrequent_understanding_checks", "strong_questioning", "low_visual_aids", "high_visual_aids",
  "positive_reinforcement", "first_session_expert",
]);
export const insightType = pgEnum("insight_type", ["strength", "growth_area", "achievement"]);
export const rescheduleBy = pgEnum("reschedule_by", ["tutor", "student"]);
export const sessionStatus = pgEnum("session_status", [
  "scheduled", "in_progress", "completed", "no_show_tutor", "no_show_student", "cancelled", "rescheduled",
]);
export const studentStatus = pgEnum("student_status", ["active", "churned", "paused"]);
export const subjectCategory = pgEnum("subject_category", [
  "math", "science", "language_arts", "social_studies", "foreign_language", "test_prep", "computer_science", "arts",
  "other",
]);
export const userRole = pgEnum("user_role", ["admin", "tutor", "student"]);

export const users = pgTable("users", {
  id: varchar({ length: 128 }).primaryKey(),
  email: varchar({ length: 255 }).notNull(),
  name: varchar({ length: 255 }).notNull(),
  preferredName: varchar("preferred_name", { length: 255 }),
  avatarUrl: varchar("avatar_url", { length: 500 }),
  role: userRole().notNull(),
  createdAt: timestamp("created_at", { mode: "string" }).defaultNow().notNull(),
}, (table) => [
  unique("users_email_key").on(table.email),
]);

export const tutors = pgTable("tutors", {
  userId: varchar("user_id", { length: 128 }).primaryKey(),
  memberSince: date("member_since").defaultNow().notNull(),
  bio: text(),
  experience: text(),
  education: text(),
  teachingStyle: text("teaching_style"),
  hourlyRate: numeric("hourly_rate", { precision: 6, scale: 2 }),
}, (table) => [
  foreignKey({ columns: [table.userId], foreignColumns: [users.id], name: "tutors_user_id_fkey" }).onDelete("cascade"),
]);

export const sessionScreenMetrics = pgTable("session_screen_metrics", {
  sessionId: uuid("session_id").primaryKey(),
  activeTabFocusPct: numeric("active_tab_focus_pct", { precision: 4, scale: 3 }),
  tabSwitchesCount: integer("tab_switches_count").default(0).notNull(),
  whiteboardUsageMinutes: integer("whiteboard_usage_minutes").default(0).notNull(),
  messagingAppDetected: boolean("messaging_app_detected").default(false).notNull(),
  gamingDetected: boolean("gaming_detected").default(false).notNull(),
  createdAt: timestamp("created_at", { mode: "string" }).defaultNow().notNull(),
}, (table) => [
  foreignKey({ columns: [table.sessionId], foreignColumns: [sessions.id], name: "session_screen_metrics_session_id_fkey" }).onDelete("cascade"),
  check("session_screen_metrics_active_tab_focus_pct_check", sql`(active_tab_focus_pct >= (0)::numeric) AND (active_tab_focus_pct <= (1)::numeric)`),
]);

export const students = pgTable("students", {
  userId: varchar("user_id", { length: 128 }).primaryKey(),
  enrolledSince: date("enrolled_since").defaultNow().notNull(),
  gradeLevel: gradeLevel("grade_level"),
  parentEmail: varchar("parent_email", { length: 255 }),
  bio: text(),
  learningGoals: text("learning_goals"),
  status: studentStatus().default("active").notNull(),
  churnedDate: date("churned_date"),
  churnSurveyResponse: text("churn_survey_response"),
}, (table) => [
  foreignKey({ columns: [table.userId], foreignColumns: [users.id], name: "students_user_id_fkey" }).onDelete("cascade"),
]);

export const alerts = pgTable("alerts", {
  id: uuid().defaultRandom().primaryKey(),
  tutorId: varchar("tutor_id", { length: 128 }).notNull(),
  alertType: alertType("alert_type").notNull(),
  severity: alertSeverity().notNull(),
  title: varchar({ length: 255 }).notNull(),
  description: text().notNull(),
  triggeredDate: timestamp("triggered_date", { mode: "string" }).defaultNow().notNull(),
  sessionId: uuid("session_id"),
  acknowledged: boolean().default(false).notNull(),
  acknowledgedBy: varchar("acknowledged_by", { length: 128 }),
  acknowledgedAt: timestamp("acknowledged_at", { mode: "string" }),
  actionTaken: text("action_taken"),
  resolved: boolean().default(false).notNull(),
  resolvedAt: timestamp("resolved_at", { mode: "string" }),
  createdAt: timestamp("created_at", { mode: "string" }).defaultNow().notNull(),
}, (table) => [
  foreignKey({ columns: [table.tutorId], foreignColumns: [users.id], name: "alerts_tutor_id_fkey" }).onDelete("cascade"),
  foreignKey({ columns: [table.sessionId], foreignColumns: [sessions.id], name: "alerts_session_id_fkey" }).onDelete("set null"),
  foreignKey({ columns: [table.acknowledgedBy], foreignColumns: [users.id], name: "alerts_acknowledged_by_fkey" }).onDelete("set null"),
]);

export const sessions = pgTable("sessions", {
  id: uuid().defaultRandom().primaryKey(),
  tutorId: varchar("tutor_id", { length: 128 }).notNull(),
  studentId: varchar("student_id", { length: 128 }).notNull(),
  scheduledStart: timestamp("scheduled_start", { mode: "string" }).notNull(),
  actualStart: timestamp("actual_start", { mode: "string" }),
  scheduledDuration: integer("scheduled_duration").notNull(),
  actualDuration: integer("actual_duration"),
  subjectId: uuid("subject_id").notNull(),
  sessionNumber: integer("session_number").notNull(),
  status: sessionStatus().default("scheduled").notNull(),
  tutorShowedUp: boolean("tutor_showed_up").default(true).notNull(),
  studentShowedUp: boolean("student_showed_up").default(true).notNull(),
  rescheduledBy: rescheduleBy("rescheduled_by"),
  technicalIssues: boolean("technical_issues").default(false).notNull(),
  technicalIssuesDescription: text("technical_issues_description"),
  hasAudioAnalysis: boolean("has_audio_analysis").default(false).notNull(),
  hasVideoAnalysis: boolean("has_video_analysis").default(false).notNull(),
  hasScreenMonitoring: boolean("has_screen_monitoring").default(false).notNull(),
  homeworkAssigned: boolean("homework_assigned").default(false).notNull(),
  followUpBooked: boolean("follow_up_booked").default(false).notNull(),
  overallSessionScore: numeric("overall_session_score", { precision: 3, scale: 1 }),
  aiSummary: text("ai_summary"),
  completedAt: timestamp("completed_at", { mode: "string" }),
  createdAt: timestamp("created_at", { mode: "string" }).defaultNow().notNull(),
}, (table) => [
  foreignKey({ columns: [table.tutorId], foreignColumns: [users.id], name: "sessions_tutor_id_fkey" }).onDelete("cascade"),
  foreignKey({ columns: [table.studentId], foreignColumns: [users.id], name: "sessions_student_id_fkey" }).onDelete("cascade"),
  foreignKey({ columns: [table.subjectId], foreignColumns: [subjects.id], name: "sessions_subject_id_fkey" }),
  check("sessions_overall_session_score_check", sql`(overall_session_score >= (0)::numeric) AND (overall_session_score <= (10)::numeric)`),
]);

export const subjects = pgTable("subjects", {
  id: uuid().defaultRandom().primaryKey(),
  name: varchar({ length: 100 }).notNull(),
  category: subjectCategory().notNull(),
  createdAt: timestamp("created_at", { mode: "string" }).defaultNow().notNull(),
}, (table) => [
  unique("subjects_name_key").on(table.name),
]);

export const sessionAudioMetrics = pgTable("session_audio_metrics", {
  sessionId: uuid("session_id").primaryKey(),
  tutorTalkRatio: numeric("tutor_talk_ratio", { precision: 4, scale: 3 }),
  studentTalkRatio: numeric("student_talk_ratio", { precision: 4, scale: 3 }),
  productiveSilenceRatio: numeric("productive_silence_ratio", { precision: 4, scale: 3 }),
  awkwardPauseRatio: numeric("awkward_pause_ratio", { precision: 4, scale: 3 }),
  studentEngagementScore: numeric("student_engagement_score", { precision: 3, scale: 1 }),
  tutorEnthusiasmScore: numeric("tutor_enthusiasm_score", { precision: 3, scale: 1 }),
  avgStudentResponseDelay: numeric("avg_student_response_delay", { precision: 5, scale: 2 }),
  longPausesCount: integer("long_pauses_count").default(0).notNull(),
  studentInitiatedQuestions: integer("student_initiated_questions").default(0).notNull(),
  studentFrustrationCount: integer("student_frustration_count").default(0).notNull(),
  studentConfusionCount: integer("student_confusion_count").default(0).notNull(),
  positiveMomentsCount: integer("positive_moments_count").default(0).notNull(),
  tutorChecksUnderstandingCount: integer("tutor_checks_understanding_count").default(0).notNull(),
  tutorPositiveReinforcementCount: integer("tutor_positive_reinforcement_count").default(0).notNull(),
  conceptReExplanationCount: integer("concept_re_explanation_count").default(0).notNull(),
  openEndedQuestions: integer("open_ended_questions").default(0).notNull(),
  closedEndedQuestions: integer("closed_ended_questions").default(0).notNull(),
  rhetoricalQuestions: integer("rhetorical_questions").default(0).notNull(),
  createdAt: timestamp("created_at", { mode: "string" }).defaultNow().notNull(),
}, (table) => [
  foreignKey({ columns: [table.sessionId], foreignColumns: [sessions.id], name: "session_audio_metrics_session_id_fkey" }).onDelete("cascade"),
  check("session_audio_metrics_tutor_talk_ratio_check", sql`(tutor_talk_ratio >= (0)::numeric) AND (tutor_talk_ratio <= (1)::numeric)`),
  check("session_audio_metrics_student_talk_ratio_check", sql`(student_talk_ratio >= (0)::numeric) AND (student_talk_ratio <= (1)::numeric)`),
]);

export const sessionVideoMetrics = pgTable("session_video_metrics", {
  sessionId: uuid("session_id").primaryKey(),
  studentOnScreenAttentionPct: numeric("student_on_screen_attention_pct", { precision: 4, scale: 3 }),
  studentVisualEngagementScore: numeric("student_visual_engagement_score", { precision: 3, scale: 1 }),
  distractionEventsCount: integer("distraction_events_count").default(0).notNull(),
  confusionMomentsCount: integer("confusion_moments_count").default(0).notNull(),
  tutorUsesVisualAids: boolean("tutor_uses_visual_aids").default(false).notNull(),
  studentTakingNotesDuration: integer("student_taking_notes_duration").default(0).notNull(),
  createdAt: timestamp("created_at", { mode: "string" }).defaultNow().notNull(),
}, (table) => [
  foreignKey({ columns: [table.sessionId], foreignColumns: [sessions.id], name: "session_video_metrics_session_id_fkey" }).onDelete("cascade"),
  check("session_video_metrics_student_on_screen_attention_pct_check", sql`(student_on_screen_attention_pct >= (0)::numeric) AND (student_on_screen_attention_pct <= (1)::numeric)`),
]);

export const sessionFeedback = pgTable("session_feedback", {
  sessionId: uuid("session_id").primaryKey(),
  studentSatisfactionRating: integer("student_satisfaction_rating").notNull(),
  feedbackText: text("feedback_text"),
  submittedAt: timestamp("submitted_at", { mode: "string" }).defaultNow().notNull(),
}, (table) => [
  foreignKey({ columns: [table.sessionId], foreignColumns: [sessions.id], name: "session_feedback_session_id_fkey" }).onDelete("cascade"),
  check("session_feedback_student_satisfaction_rating_check", sql`(student_satisfaction_rating >= 1) AND (student_satisfaction_rating <= 5)`),
]);

export const tutorInsights = pgTable("tutor_insights", {
  id: uuid().defaultRandom().primaryKey(),
  tutorId: varchar("tutor_id", { length: 128 }).notNull(),
  insightType: insightType("insight_type").notNull(),
  category: insightCategory().notNull(),
  displayText: text("display_text").notNull(),
  detectedAt: timestamp("detected_at", { mode: "string" }).defaultNow().notNull(),
  lastConfirmedAt: timestamp("last_confirmed_at", { mode: "string" }),
  isActive: boolean("is_active").default(true).notNull(),
  resolvedAt: timestamp("resolved_at", { mode: "string" }),
  sampleSessions: uuid("sample_sessions").array(),
  metricValue: numeric("metric_value", { precision: 5, scale: 2 }),
}, (table) => [
  foreignKey({ columns: [table.tutorId], foreignColumns: [users.id], name: "tutor_insights_tutor_id_fkey" }).onDelete("cascade"),
]);

export const coachingNotes = pgTable("coaching_notes", {
  id: uuid().defaultRandom().primaryKey(),
  tutorId: varchar("tutor_id", { length: 128 }).notNull(),
  noteType: coachingNoteType("note_type").notNull(),
  content: text().notNull(),
  createdBy: varchar("created_by", { length: 128 }),
  createdAt: timestamp("created_at", { mode: "string" }).defaultNow().notNull(),
}, (table) => [
  index("coaching_notes_created_at_idx").using("btree", table.createdAt.desc().nullsFirst().op("timestamp_ops")),
  index("coaching_notes_tutor_id_idx").using("btree", table.tutorId.asc().nullsLast().op("text_ops")),
  foreignKey({ columns: [table.tutorId], foreignColumns: [users.id], name: "coaching_notes_tutor_id_fkey" }).onDelete("cascade"),
  foreignKey({ columns: [table.createdBy], foreignColumns: [users.id], name: "coaching_notes_created_by_fkey" }).onDelete("set null"),
]);
