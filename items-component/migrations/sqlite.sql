-- Every instance runs this before it uses the table, so it must be a single, idempotent statement.
-- AUTOINCREMENT: the id of a deleted item is never reused.
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL
)
