-- One statement, so that a pooler may give each statement another connection. Of replicas that start at the same time, one
-- creates the table, and the others wait. Where it exists, no right to create one is needed.
DO $$
BEGIN
  IF to_regclass('items') IS NULL THEN
    PERFORM pg_advisory_xact_lock(hashtextextended('create table items', 0));
    CREATE TABLE IF NOT EXISTS items (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- from a sequence, which never gives a number twice
      name text NOT NULL
    );
  END IF;
END
$$
