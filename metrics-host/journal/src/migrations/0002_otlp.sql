-- Metrics of other senders, added up over their instances.
CREATE TABLE otlp_metrics (
  name TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  help TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE otlp_series (
  metric TEXT NOT NULL,
  labels TEXT NOT NULL, -- a JSON array of [name, value]
  amount TEXT NOT NULL, -- JSON
  PRIMARY KEY (metric, labels)
) WITHOUT ROWID;

-- The last total that each sender of cumulative metrics reported.
CREATE TABLE otlp_streams (
  id BLOB PRIMARY KEY,
  start_unix_nanos INTEGER NOT NULL,
  time_unix_nanos INTEGER NOT NULL,
  total TEXT NOT NULL, -- JSON
  seen INTEGER NOT NULL -- seconds that the host was up
) WITHOUT ROWID;
