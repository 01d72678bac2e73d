-- When people practise.  Drill events reach people while one of these is on in their estate, and
-- page nobody outside of it; a drill ends by itself.
CREATE TABLE drill (
    id          text PRIMARY KEY,
    estate      text NOT NULL REFERENCES estate,
    kind        text NOT NULL CHECK (kind IN ('tabletop', 'component', 'unannounced', 'test')),
    scenario    text NOT NULL,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL CHECK (ends_at > starts_at AND ends_at <= starts_at + interval '12 hours'),
    ended_at    timestamptz,
    made_by     text NOT NULL,
    made_at     timestamptz NOT NULL
);
CREATE INDEX drill_estate ON drill (estate, ends_at);
COMMENT ON COLUMN drill.kind IS 'test: one alert that tries the way to people';
COMMENT ON COLUMN drill.ended_at IS 'when a person, or the watchdog, ended it before its time';

CREATE FUNCTION drill_is_on(estate_ text, at_ timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM drill d WHERE d.estate = estate_ AND d.starts_at <= at_
                   AND at_ < least(d.ends_at, d.ended_at))
$$;

ALTER TABLE notice DROP CONSTRAINT notice_ended_check;
ALTER TABLE notice ADD CONSTRAINT notice_ended_check
    CHECK (ended IN ('taken', 'unreachable', 'no_drill')) NOT VALID;
COMMENT ON COLUMN notice.ended IS 'taken by somebody, nobody reachable, or of a drill that was over';
