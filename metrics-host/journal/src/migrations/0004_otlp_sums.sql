-- Series have the labels `job` and `instance` instead of `service_name` and `service_instance_id`.
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

-- What changes with each report is apart from the labels and has a short key.
ALTER TABLE otlp_series RENAME TO old_series;
CREATE TABLE otlp_series (
  id INTEGER PRIMARY KEY,
  metric TEXT NOT NULL,
  labels TEXT NOT NULL -- a JSON array of [name, value]
);
CREATE TABLE otlp_sums (
  id INTEGER PRIMARY KEY, -- of the series
  seen INTEGER NOT NULL, -- seconds that the host was up
  sum BLOB NOT NULL -- the sum and the last reports of its senders; before the first one, the sum in JSON
);
INSERT INTO otlp_series (metric, labels) SELECT metric, labels FROM old_series;
INSERT INTO otlp_sums (id, seen, sum)
  SELECT id, max((SELECT coalesce(max(seen), 0) FROM senders), (SELECT coalesce(max(seen), 0) FROM otlp_streams)), amount
  FROM otlp_series JOIN old_series USING (metric, labels);
DROP TABLE old_series;
-- The table otlp_streams only shrinks: each total in it is continued under its new identity.
