-- Number of requests whose telemetry did not fit into the outbox. The next batch reports it.
CREATE TABLE IF NOT EXISTS telemetry_lost (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    requests INTEGER NOT NULL
)
