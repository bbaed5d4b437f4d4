-- What each group of changes put on disk, until a checkpoint has written it to the other tables.
CREATE TABLE log (
  position INTEGER PRIMARY KEY,
  checksum INTEGER NOT NULL, -- CRC-32 of the entry
  entry BLOB NOT NULL
);

-- Senders are read into memory when the journal is opened.
DROP INDEX senders_by_age;

-- Labels as the page shows them: a="b",c="d"
UPDATE otlp_series SET labels = coalesce((
  SELECT group_concat(
    json_extract(value, '$[0]') || '="' ||
      replace(replace(replace(json_extract(value, '$[1]'), '\', '\\'), '"', '\"'), char(10), '\n') || '"',
    ',' ORDER BY key)
  FROM json_each(labels)), '');
