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

-- Audit records: `record` is the canonical bytes, the other columns find it. Rows are never updated.
CREATE TABLE decisions (
    id BLOB PRIMARY KEY,
    at INTEGER NOT NULL,
    pep TEXT NOT NULL,
    principal TEXT,
    resource TEXT NOT NULL,
    effect TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    enforced INTEGER NOT NULL CHECK (enforced IN (0, 1)),
    reason TEXT NOT NULL,
    record BLOB NOT NULL
) STRICT;

-- Without the ids: each record writes to all of these, and the few of one microsecond are sorted when they are read.
CREATE INDEX decisions_newest ON decisions (at);
CREATE INDEX decisions_by_principal ON decisions (principal, at);
CREATE INDEX decisions_by_resource ON decisions (resource, at);
-- Denials are few and looked for often; allows are found by time.
CREATE INDEX decisions_denied ON decisions (at) WHERE effect = 'deny';

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
