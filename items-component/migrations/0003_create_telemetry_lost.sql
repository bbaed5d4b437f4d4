-- Requests for whose telemetry the outbox had no room: one row, reported with the next batch.
CREATE TABLE IF NOT EXISTS telemetry_lost (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    requests INTEGER NOT NULL
)
