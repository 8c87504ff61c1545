-- Who may sign in, and who is. Secrets are kept as hashes only: SHA-256 of random tokens, argon2id of passwords.

CREATE TABLE tutorwatch.credentials (
    user_id varchar(128) PRIMARY KEY,
    password_hash text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Browsers that are signed in.
CREATE TABLE tutorwatch.sign_ins (
    token_hash bytea PRIMARY KEY,
    user_id varchar(128) NOT NULL,
    signed_in_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX sign_ins_user ON tutorwatch.sign_ins (user_id);

-- Links that sign in once, without a password.
CREATE TABLE tutorwatch.sign_in_links (
    token_hash bytea PRIMARY KEY,
    user_id varchar(128) NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Failed attempts, by address and by account, which slow down the next ones. An attempt is noted before the
-- password is looked at, so that many at once can't all be the first.
CREATE TABLE tutorwatch.sign_in_failures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- A digest: what somebody typed as an account may be a password.
    subject bytea NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX sign_in_failures_subject ON tutorwatch.sign_in_failures (subject, failed_at);

-- Tokens of programs. With a user, a token acts in that person's name; without, it only reads.
CREATE TABLE tutorwatch.api_tokens (
    name text PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    user_id varchar(128),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at timestamptz,
    revoked_at timestamptz
);
