-- Where alerts are told: a mailbox, a chat, another program.
CREATE TABLE tutorwatch.channels (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL UNIQUE,
    kind text NOT NULL,
    -- The URL, which may hold a secret, and what may be shown of it.
    target text NOT NULL,
    shown text NOT NULL,
    secret text,
    -- Null: all.
    severities text[],
    types text[],
    events text[] DEFAULT '{opened}',
    is_on boolean NOT NULL DEFAULT true,
    switched_off_because text,
    -- While the target asks for patience, or can't be reached.
    paused_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text
);

-- What is told: an entry of an alert's history by a channel, once. Without foreign keys: their checks would let a
-- generation fail while somebody removes a channel.
CREATE TABLE tutorwatch.deliveries (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    alert_id uuid NOT NULL,
    tutor_id text NOT NULL,
    history_id bigint NOT NULL,
    event text NOT NULL,
    details text,
    channel_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'given_up', 'ambiguous')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- While it is being sent, and longer than that only if the process that sent it has died.
    claimed_at timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivered_at timestamptz,
    UNIQUE (alert_id, history_id, channel_id)
);

CREATE INDEX deliveries_waiting ON tutorwatch.deliveries (channel_id, next_attempt_at) WHERE state = 'waiting';
CREATE INDEX deliveries_by_date ON tutorwatch.deliveries (created_at);
