-- The event log: one row for each commit, never changed and never deleted.
CREATE TABLE commits (
    position     INTEGER PRIMARY KEY,     -- from 1, without gaps
    organization BLOB NOT NULL,           -- the stream: organisation, kind of aggregate, id
    kind         TEXT NOT NULL,
    aggregate    BLOB NOT NULL,
    version      INTEGER NOT NULL,        -- of the stream, after this commit
    id           BLOB NOT NULL,           -- of the commit
    hash         BLOB NOT NULL,           -- SHA-256 of the payload
    payload      TEXT NOT NULL            -- the events, a CloudEvents JSON batch
) STRICT;

CREATE UNIQUE INDEX commits_of_stream ON commits (aggregate, kind, organization, version);
