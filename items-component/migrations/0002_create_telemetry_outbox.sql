-- Batches of telemetry that an instance could not deliver; whichever delivers next sends them, too, in order of id.
-- AUTOINCREMENT: what is deleted up to an id was there when it was read.
CREATE TABLE IF NOT EXISTS telemetry_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    requests INTEGER NOT NULL,
    body TEXT NOT NULL
)
