-- Which projections there are, and how far each has come. A projection has at most two rows: the one that queries see,
-- and the one that is being built beside it. A checkpoint moves in the same transaction as the rows it stands for.
CREATE TABLE projections (
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('live', 'building')),
    -- Part of the names of the tables while they are built; never used twice.
    generation BIGINT NOT NULL,
    version BIGINT NOT NULL,
    -- The names of its tables, parted by spaces.
    tables TEXT NOT NULL,
    position BIGINT NOT NULL,
    -- The event that stopped it, and why.
    error_position BIGINT,
    error TEXT,
    PRIMARY KEY (name, state)
);
