-- The history and where it stands. One row; a control-plane writer holds it locked from its first statement to its
-- commit, so that numbers are given out in commit order.
CREATE TABLE revision (
    only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
    -- The 64 bits of an unsigned number.
    epoch BIGINT NOT NULL,
    number BIGINT NOT NULL DEFAULT 0 CHECK (number >= 0),
    -- What deodar_history() said when the epoch was taken; NULL until the first look.
    history TEXT
);

-- Names the history that this server is writing: the cluster, its timeline (a new one after failover and after
-- point-in-time recovery), the database and this very table (new ones after a dump was restored). A part that the
-- server will not tell is '?'. NULL while a standby is recovering: it writes no history of its own. It runs with its
-- owner's rights, so that all roles get the same answer.
CREATE FUNCTION deodar_history() RETURNS TEXT LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    cluster TEXT := '?';
    timeline TEXT := '?';
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN NULL;
    END IF;
    BEGIN
        SELECT system_identifier::TEXT INTO cluster FROM pg_control_system();
    EXCEPTION WHEN insufficient_privilege OR undefined_function THEN
        NULL;
    END;
    BEGIN
        -- The timeline of the last checkpoint lags behind a promotion; the name of the WAL file does not.
        timeline := left(pg_walfile_name(pg_current_wal_insert_lsn()), 8);
    EXCEPTION WHEN insufficient_privilege OR undefined_function OR object_not_in_prerequisite_state THEN
        NULL;
    END;
    RETURN concat_ws('/', cluster, timeline,
        (SELECT oid::TEXT FROM pg_database WHERE datname = current_database()),
        'revision'::REGCLASS::OID::TEXT);
END
$$;

INSERT INTO revision (epoch)
VALUES (('x' || left(replace(gen_random_uuid()::TEXT, '-', ''), 16))::BIT(64)::BIGINT);

CREATE TABLE changes (
    number BIGINT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    noun TEXT COLLATE "C" NOT NULL,
    body TEXT NOT NULL
);

-- Policy planes. `default` is always there.
CREATE TABLE domains (
    name TEXT COLLATE "C" PRIMARY KEY
);

INSERT INTO domains (name) VALUES ('default');

-- Who may call Deodar's APIs. Rows are never deleted: an id names one client for ever.
CREATE TABLE clients (
    id TEXT COLLATE "C" PRIMARY KEY,
    revoked_at BIGINT,
    body TEXT NOT NULL
);

CREATE TABLE signals (
    id UUID PRIMARY KEY,
    subject TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    recorded_by TEXT COLLATE "C" NOT NULL,
    dedup_key TEXT COLLATE "C",
    observed_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    until_cleared BOOLEAN NOT NULL,
    cleared_at BIGINT,
    body TEXT NOT NULL
);

CREATE UNIQUE INDEX signals_dedup ON signals (recorded_by, subject, kind, dedup_key)
    WHERE cleared_at IS NULL AND dedup_key IS NOT NULL;
CREATE INDEX signals_newest ON signals (recorded_at, id);
CREATE INDEX signals_by_subject ON signals (subject, recorded_at, id);
CREATE INDEX signals_by_kind ON signals (kind, recorded_at, id);
CREATE INDEX signals_live ON signals (observed_at) WHERE cleared_at IS NULL;

-- Tokens that no longer count.
CREATE TABLE revocations (
    id UUID PRIMARY KEY,
    target TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    undone_at BIGINT,
    body TEXT NOT NULL
);

CREATE INDEX revocations_newest ON revocations (created_at, id);
CREATE INDEX revocations_by_target ON revocations (target, created_at, id);
CREATE INDEX revocations_expiring ON revocations (expires_at);

-- The directory: what the deployment itself knows of principals.
CREATE TABLE principals (
    id TEXT COLLATE "C" PRIMARY KEY,
    body TEXT NOT NULL
);

-- Audit records: `record` is the canonical bytes, the other columns find it. Rows are never updated.
CREATE TABLE decisions (
    id UUID PRIMARY KEY,
    at BIGINT NOT NULL,
    pep TEXT COLLATE "C" NOT NULL,
    principal TEXT COLLATE "C",
    resource TEXT COLLATE "C" NOT NULL,
    effect TEXT COLLATE "C" NOT NULL CHECK (effect IN ('allow', 'deny')),
    enforced BOOLEAN NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    record BYTEA NOT NULL
);

CREATE INDEX decisions_newest ON decisions (at, id);
CREATE INDEX decisions_by_principal ON decisions (principal, at, id);
CREATE INDEX decisions_by_resource ON decisions (resource, at, id);
-- Denials are few and looked for often; allows are found by time.
CREATE INDEX decisions_denied ON decisions (at, id) WHERE effect = 'deny';

-- Calls that never became a decision, counted by minute.
CREATE TABLE refusals (
    replica TEXT COLLATE "C" NOT NULL,
    minute BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    peer TEXT COLLATE "C" NOT NULL,
    count BIGINT NOT NULL CHECK (count >= 0),
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    sample TEXT NOT NULL,
    PRIMARY KEY (minute, kind, peer, replica)
);

CREATE TABLE replicas (
    id TEXT COLLATE "C" PRIMARY KEY,
    version TEXT NOT NULL,
    address TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    applied_epoch BIGINT NOT NULL,
    applied_number BIGINT NOT NULL,
    bundle TEXT
);
