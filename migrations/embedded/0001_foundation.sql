-- The history and where it stands. One row; a writer holds the whole database locked from its first statement to its
-- commit, so that numbers are given out in commit order.
CREATE TABLE revision (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    -- The 64 bits of an unsigned number.
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL DEFAULT 0 CHECK (number >= 0)
) STRICT;

INSERT INTO revision (epoch) VALUES (random());

CREATE TABLE changes (
    number INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    noun TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- Policy planes. `default` is always there.
CREATE TABLE domains (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

INSERT INTO domains (name) VALUES ('default');

-- Who may call Deodar's APIs. Rows are never deleted: an id names one client for ever.
CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    revoked_at INTEGER,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE signals (
    id BLOB PRIMARY KEY,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    recorded_by TEXT NOT NULL,
    dedup_key TEXT,
    observed_at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    until_cleared INTEGER NOT NULL CHECK (until_cleared IN (0, 1)),
    cleared_at INTEGER,
    body TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX signals_dedup ON signals (recorded_by, subject, kind, dedup_key)
    WHERE cleared_at IS NULL AND dedup_key IS NOT NULL;
CREATE INDEX signals_newest ON signals (recorded_at, id);
CREATE INDEX signals_by_subject ON signals (subject, recorded_at, id);
CREATE INDEX signals_by_kind ON signals (kind, recorded_at, id);
CREATE INDEX signals_live ON signals (observed_at) WHERE cleared_at IS NULL;

-- Tokens that no longer count.
CREATE TABLE revocations (
    id BLOB PRIMARY KEY,
    target TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    undone_at INTEGER,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX revocations_newest ON revocations (created_at, id);
CREATE INDEX revocations_by_target ON revocations (target, created_at, id);
CREATE INDEX revocations_expiring ON revocations (expires_at);

-- The directory: what the deployment itself knows of principals.
CREATE TABLE principals (
    id TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Audit records, many to a row: a row for each record would cost several times what the decision itself costs. The
-- other columns tell in which rows to look (`src/store/embedded/batch.rs`). Rows are never updated.
CREATE TABLE decision_batches (
    number INTEGER PRIMARY KEY,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    -- Ids are time-ordered, so a range of them picks few batches.
    first_id BLOB NOT NULL,
    last_id BLOB NOT NULL,
    records INTEGER NOT NULL CHECK (records > 0),
    denials INTEGER NOT NULL CHECK (denials BETWEEN 0 AND records),
    -- A Bloom filter over principals, resources, PEPs and reasons.
    names BLOB NOT NULL,
    ids BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE INDEX decision_batches_newest ON decision_batches (last_at, number);
CREATE INDEX decision_batches_by_id ON decision_batches (last_id, first_id);

-- Calls that never became a decision, counted by minute.
CREATE TABLE refusals (
    replica TEXT NOT NULL,
    minute INTEGER NOT NULL,
    kind TEXT NOT NULL,
    peer TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    sample TEXT NOT NULL,
    PRIMARY KEY (minute, kind, peer, replica)
) STRICT, WITHOUT ROWID;

CREATE TABLE replicas (
    id TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    address TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    applied_epoch INTEGER NOT NULL,
    applied_number INTEGER NOT NULL,
    bundle TEXT
) STRICT, WITHOUT ROWID;
