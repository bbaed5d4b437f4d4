-- The last batch of every instance, by which a retry is told from news.
CREATE TABLE senders (
  instance TEXT PRIMARY KEY,
  sequence INTEGER NOT NULL,
  body BLOB NOT NULL, -- SHA-256
  seen INTEGER NOT NULL -- seconds that the host was up
) WITHOUT ROWID;
CREATE INDEX senders_by_age ON senders (seen);

-- Requests by who reported them: 'component' or 'host'.
CREATE TABLE requests (
  reporter TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  method TEXT NOT NULL,
  status TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (reporter, endpoint, method, status)
) WITHOUT ROWID;

CREATE TABLE latency (
  reporter TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  buckets TEXT NOT NULL, -- a JSON array of counts, not cumulative
  sum_nanos INTEGER NOT NULL,
  PRIMARY KEY (reporter, endpoint)
) WITHOUT ROWID;

CREATE TABLE totals (
  reporter TEXT NOT NULL,
  name TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (reporter, name)
) WITHOUT ROWID;
