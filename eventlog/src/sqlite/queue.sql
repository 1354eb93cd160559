-- The work queue. It may be lost: what is in it is derived from the event log again.
CREATE TABLE items (
    id         TEXT PRIMARY KEY,
    number     INTEGER NOT NULL,          -- items are numbered as they come
    lane       TEXT NOT NULL,
    payload    TEXT NOT NULL,
    not_before INTEGER,                   -- milliseconds of the epoch, as it was asked for
    due        INTEGER NOT NULL,          -- and as it is now, after delays
    deliveries INTEGER NOT NULL,
    parked     TEXT                       -- why; an item that is not parked waits or is leased
) STRICT, WITHOUT ROWID;

-- One row: up to where the router has turned events into items.
CREATE TABLE routed (position INTEGER NOT NULL) STRICT;
INSERT INTO routed VALUES (0);
