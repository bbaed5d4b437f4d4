-- A random name, by which a sender sends a batch again only to the journal that may hold it. It stays with the file.
CREATE TABLE identity (id TEXT NOT NULL);
INSERT INTO identity VALUES (lower(hex(randomblob(16))));
