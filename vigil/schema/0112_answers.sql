-- What residents themselves say when they are asked whether all is well.
CREATE TABLE resident_answer (
    alert       uuid NOT NULL REFERENCES alert,
    answer      text NOT NULL CHECK (answer IN ('fine', 'help')),
    by          text NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (alert, at)
);
COMMENT ON COLUMN resident_answer.by IS 'link: the page or the call that was offered; account: signed in';
