-- What officers noted on the console's fallback sheet while the platform was away.
CREATE TABLE sheet_note (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    resident    text REFERENCES resident,
    what        text NOT NULL CHECK (what IN ('well', 'no_answer', 'help', 'note')),
    note        text NOT NULL DEFAULT '',
    actor       text NOT NULL,
    written_at  timestamptz NOT NULL,
    received_at timestamptz NOT NULL
);
CREATE INDEX sheet_note_written ON sheet_note (written_at);
CREATE INDEX sheet_note_resident ON sheet_note (resident, written_at);
COMMENT ON COLUMN sheet_note.written_at IS 'by the clock of the screen it was written on';
