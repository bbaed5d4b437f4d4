-- Series have the labels `job` and `instance` instead of `service_name` and `service_instance_id`, and are forgotten
-- when they were not reported for long.
ALTER TABLE otlp_series ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE otlp_series ADD COLUMN seen INTEGER NOT NULL DEFAULT 0; -- seconds that the host was up
ALTER TABLE otlp_series ADD COLUMN origin INTEGER NOT NULL DEFAULT 0; -- hash of the reported name and unit
UPDATE otlp_series SET seen = max(
  (SELECT coalesce(max(seen), 0) FROM senders), (SELECT coalesce(max(seen), 0) FROM otlp_streams));
UPDATE OR IGNORE otlp_series SET labels = (
  SELECT json_group_array(json_array(name, value)) FROM (
    SELECT
      CASE json_extract(value, '$[0]')
        WHEN 'service_name' THEN 'job'
        WHEN 'service_instance_id' THEN 'instance'
        ELSE json_extract(value, '$[0]')
      END AS name,
      json_extract(value, '$[1]') AS value
    FROM json_each(labels) ORDER BY 1))
WHERE NOT EXISTS (
  SELECT 1 FROM json_each(labels) WHERE json_extract(value, '$[0]') IN ('job', 'instance'));

-- The last report of each process: totals by their start, deltas by their interval.
CREATE TABLE otlp_tracks (
  stream BLOB NOT NULL,
  start_unix_nanos INTEGER NOT NULL,
  end_unix_nanos INTEGER NOT NULL, -- 0 for totals
  time_unix_nanos INTEGER NOT NULL,
  amount TEXT NOT NULL, -- JSON
  seen INTEGER NOT NULL, -- seconds that the host was up
  forgotten INTEGER, -- when the last process that the stream forgot was seen
  PRIMARY KEY (stream, start_unix_nanos, end_unix_nanos)
) WITHOUT ROWID;
INSERT INTO otlp_tracks (stream, start_unix_nanos, end_unix_nanos, time_unix_nanos, amount, seen)
  SELECT id, start_unix_nanos, 0, time_unix_nanos, total, seen FROM otlp_streams;
DROP TABLE otlp_streams;
