CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    started_utc_ns INTEGER NOT NULL,
    alive_utc_ns INTEGER NOT NULL,
    ended_utc_ns INTEGER
) STRICT;
CREATE TABLE engines (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    UNIQUE (name, hash)
) STRICT;
CREATE TABLE parts (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    engine INTEGER NOT NULL REFERENCES engines (id),
    frame_number INTEGER NOT NULL,
    t_utc_ns INTEGER NOT NULL,
    t_mono_ns INTEGER NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('pass', 'fault', 'uncertain', 'missed')),
    reason TEXT CHECK ((verdict = 'missed') = (reason IS NOT NULL)),
    class TEXT CHECK (verdict = 'missed' OR class IS NOT NULL),
    certainty REAL CHECK ((class IS NULL) = (certainty IS NULL)),
    scores TEXT,
    acquire_us INTEGER NOT NULL,
    queue_us INTEGER NOT NULL,
    preprocess_us INTEGER,
    infer_us INTEGER,
    record_us INTEGER,
    verdict_us INTEGER NOT NULL,
    gate_outcome TEXT,
    gate_lateness_us INTEGER,
    image TEXT
) STRICT;
CREATE INDEX parts_by_time ON parts (t_utc_ns);
CREATE TABLE outages (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    kind TEXT NOT NULL CHECK (kind IN ('unseen', 'record_error', 'camera', 'output')),
    t_from_utc_ns INTEGER NOT NULL,
    t_to_utc_ns INTEGER CHECK (t_to_utc_ns >= t_from_utc_ns),
    parts INTEGER NOT NULL CHECK (parts >= 0),
    detail TEXT NOT NULL
) STRICT;
PRAGMA application_id = 442231933;
PRAGMA user_version = 1;
