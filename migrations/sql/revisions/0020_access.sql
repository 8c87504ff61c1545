-- A password's salt and Argon2id's parameters, which anybody may know, and the SHA-256 of the key that Argon2id
-- makes of the password: the key is proof of the password, and can't be had from its digest.
ALTER TABLE tutorwatch.credentials ADD parameters text, ADD key_digest bytea;
DELETE FROM tutorwatch.credentials WHERE password_hash !~ '^[$]argon2id[$].+[$][A-Za-z0-9+/]+$';
UPDATE tutorwatch.credentials AS kept
SET parameters = substr(password_hash, 1, length(password_hash) - length(key) - 1),
    key_digest = sha256(decode(rpad(key, (length(key) + 3) / 4 * 4, '='), 'base64'))
FROM (SELECT user_id, substring(password_hash FROM '[^$]+$') AS key FROM tutorwatch.credentials) AS hashed
WHERE hashed.user_id = kept.user_id;
ALTER TABLE tutorwatch.credentials
    ALTER parameters SET NOT NULL, ALTER key_digest SET NOT NULL, DROP COLUMN password_hash;

-- From where, and how: so that people recognise their own sign-ins, and can end the others.
ALTER TABLE tutorwatch.sign_ins
    ADD id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    ADD method text NOT NULL DEFAULT 'password',
    ADD address text,
    ADD browser text;

-- A link may also be for choosing a password: an invitation, or after one was forgotten.
ALTER TABLE tutorwatch.sign_in_links
    ADD purpose text NOT NULL DEFAULT 'sign_in' CHECK (purpose IN ('sign_in', 'password'));

-- Browsers in which somebody has signed in: failures elsewhere don't slow them down.
CREATE TABLE tutorwatch.known_browsers (
    token_hash bytea NOT NULL,
    user_id varchar(128) NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (token_hash, user_id)
);
CREATE INDEX known_browsers_user ON tutorwatch.known_browsers (user_id);

-- A row per account and address that is signing in: whoever counts failures locks it. An advisory lock
-- could be held by any role.
CREATE TABLE tutorwatch.sign_in_locks (
    subject bytea PRIMARY KEY,
    locked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Who somebody is at a provider of OpenID Connect.
CREATE TABLE tutorwatch.identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id varchar(128) NOT NULL,
    linked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (issuer, subject),
    UNIQUE (user_id, issuer)
);

-- Tokens from before go on as they are: without an end, and as far as they reached.
ALTER TABLE tutorwatch.api_tokens
    ADD expires_at timestamptz,
    ADD scope text NOT NULL DEFAULT 'read' CHECK (scope IN ('summary', 'read', 'act'));
UPDATE tutorwatch.api_tokens SET scope = 'act' WHERE user_id IS NOT NULL;

-- Who did what, from where. Nobody changes an entry; old ones are removed, and those of deleted users no longer
-- say whose they were (keep_audit_trail).
CREATE TABLE tutorwatch.audit_trail (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    action text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('done', 'refused')),
    -- Why it was refused.
    reason text,
    -- A user's id; NULL for nobody known.
    actor text,
    actor_role text,
    -- How they are known: by a password, a token, the command line ...
    actor_by text,
    address text,
    -- Whom it concerns: the tutor of an alert, the account that somebody tried to sign in to.
    user_id text,
    -- What it concerns: "alert 7c9e...", "token reports".
    object text,
    details text
);
-- Read newest first, with any of the page's filters; what was refused is the rarer half.
CREATE INDEX audit_trail_at ON tutorwatch.audit_trail (at, id);
CREATE INDEX audit_trail_action ON tutorwatch.audit_trail (action, at, id);
CREATE INDEX audit_trail_actor ON tutorwatch.audit_trail (actor, at, id);
CREATE INDEX audit_trail_user ON tutorwatch.audit_trail (user_id, at, id);
CREATE INDEX audit_trail_refused ON tutorwatch.audit_trail (at, id) WHERE outcome = 'refused';

-- What the tutor is told of a resolution: all else that admins write is theirs alone.
ALTER TABLE tutorwatch.alert_resolutions ADD message_to_tutor text;
