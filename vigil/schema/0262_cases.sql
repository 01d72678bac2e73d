-- Breaking the glass (a look at somebody outside of one's estates, for an hour, with a reason), and cases:
-- what has to be looked into about who looked, each with an owner, a day to do it in, and an outcome.

CREATE TABLE break_glass (
    id          uuid PRIMARY KEY,
    resident    text NOT NULL REFERENCES resident,
    actor       text NOT NULL,
    reason      text NOT NULL CHECK (length(reason) >= 10),
    at          timestamptz NOT NULL,
    until       timestamptz NOT NULL,
    CHECK (at < until AND until <= at + interval '1 hour')
);
CREATE INDEX break_glass_resident ON break_glass (resident, at);
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON break_glass
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'resident actor until');

CREATE TABLE access_case (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('break_glass', 'bulk', 'own_family', 'off_shift')),
    estate      text NOT NULL REFERENCES estate,
    about       text NOT NULL,
    resident    text REFERENCES resident,
    facts       jsonb NOT NULL,
    opened_at   timestamptz NOT NULL,
    due_at      timestamptz NOT NULL,
    owner       text REFERENCES account ON DELETE SET NULL,
    outcome     text CHECK (outcome IN ('justified', 'misuse', 'unclear')),
    note        text NOT NULL DEFAULT '',
    closed_by   text CHECK (closed_by <> about),
    closed_at   timestamptz,
    told_at     timestamptz,
    CHECK ((closed_at IS NULL) = (outcome IS NULL) AND (closed_at IS NULL) = (closed_by IS NULL))
);
COMMENT ON COLUMN access_case.about IS 'the actor whose looks it is about; never the one who closes it';
COMMENT ON COLUMN access_case.facts IS 'what the rule saw: counts, times, numbers of lines of the access log; no names';
COMMENT ON COLUMN access_case.told_at IS 'when it was overdue, or had no owner, and a trouble alert was raised';
CREATE INDEX access_case_open ON access_case (due_at) WHERE closed_at IS NULL;
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON access_case
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'kind about resident owner outcome closed_by');
CREATE INDEX access_log_at ON access_log (at);
