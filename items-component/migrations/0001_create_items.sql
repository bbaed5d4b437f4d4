-- Run by every instance before its first use of the table, so it has to be one statement that may run twice.
-- AUTOINCREMENT: the id of a deleted item is never given to another.
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL
)
