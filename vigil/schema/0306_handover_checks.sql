-- Handing over at the end of a shift: what was gone through, and what the next one must know.
-- Both are of the shift that ends; nothing is changed once it is written, the last word on a point counts.
CREATE TABLE handover_check (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shift   bigint NOT NULL REFERENCES shift ON DELETE CASCADE,
    point   smallint NOT NULL CHECK (point BETWEEN 1 AND 20),
    done    boolean NOT NULL,
    by      text NOT NULL,
    at      timestamptz NOT NULL
);
CREATE INDEX handover_check_shift ON handover_check (shift, id);

CREATE TABLE handover_note (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shift   bigint NOT NULL REFERENCES shift ON DELETE CASCADE,
    text    text NOT NULL CHECK (length(text) BETWEEN 1 AND 1000),
    by      text NOT NULL,
    at      timestamptz NOT NULL
);
CREATE INDEX handover_note_shift ON handover_note (shift, id);
