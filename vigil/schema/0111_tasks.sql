-- What grid workers are asked to do at doors, and what is handed up to the street's centre.

-- Whose buildings these are; an empty building is the whole estate.
CREATE TABLE beat (
    account     text NOT NULL REFERENCES account ON DELETE CASCADE,
    estate      text NOT NULL REFERENCES estate,
    building    text NOT NULL DEFAULT '',
    PRIMARY KEY (account, estate, building)
);

CREATE TABLE task (
    id          uuid PRIMARY KEY,
    alert       uuid NOT NULL REFERENCES alert,
    estate      text NOT NULL,
    account     text NOT NULL REFERENCES account ON DELETE CASCADE,
    state       text NOT NULL CHECK (state IN ('given', 'accepted', 'done', 'withdrawn')),
    stage       text NOT NULL CHECK (stage IN ('knock', 'key_holder', 'emergency')),
    outcome     text CHECK (outcome IN ('seen_well', 'phone_well', 'refused', 'emergency')),
    note        text NOT NULL DEFAULT '',
    given_by    text NOT NULL,
    given_at    timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    version     int NOT NULL DEFAULT 1
);
-- One pair of feet on its way to one door.
CREATE UNIQUE INDEX task_open ON task (alert) WHERE state IN ('given', 'accepted');
CREATE INDEX task_account ON task (account, given_at);

-- Append-only: what was said of a task, by whom.
CREATE TABLE task_report (
    task        uuid NOT NULL REFERENCES task,
    version     int NOT NULL,
    what        text NOT NULL,
    actor       text NOT NULL,
    note        text NOT NULL DEFAULT '',
    at          timestamptz NOT NULL,
    PRIMARY KEY (task, version)
);

-- To the street's centre, with everything that was known at that moment.
CREATE TABLE hand_up (
    id          uuid PRIMARY KEY,
    alert       uuid NOT NULL REFERENCES alert,
    estate      text NOT NULL,
    reason      text NOT NULL,
    document    jsonb NOT NULL,
    made_by     text NOT NULL,
    made_at     timestamptz NOT NULL,
    taken_by    text,
    taken_at    timestamptz
);
CREATE UNIQUE INDEX hand_up_open ON hand_up (alert) WHERE taken_at IS NULL;
CREATE INDEX hand_up_estate ON hand_up (estate, made_at);

ALTER TABLE notice
    ADD COLUMN task    uuid REFERENCES task,
    ADD COLUMN hand_up uuid REFERENCES hand_up;
COMMENT ON COLUMN notice.task IS 'asks somebody to do this task, and is sent while it is given; null: tells of the alert';
