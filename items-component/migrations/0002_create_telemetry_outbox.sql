-- Undelivered batches of telemetry. The next instance that reaches the sidecar sends them in order of id.
-- AUTOINCREMENT: new rows get higher ids, so deleting up to an id never removes a row that was not read.
CREATE TABLE IF NOT EXISTS telemetry_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    requests INTEGER NOT NULL,
    body TEXT NOT NULL
)
