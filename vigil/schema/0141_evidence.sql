-- Frames as evidence: sealed to the platform's key as their boxes handed them over, for a short time.

CREATE TABLE evidence_frame (
    id          uuid PRIMARY KEY,
    node        text NOT NULL REFERENCES node,
    device      text NOT NULL REFERENCES device,
    episode     text NOT NULL,
    taken_at    timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    residents   text[] NOT NULL CHECK (cardinality(residents) > 0),
    sealed      bytea NOT NULL CHECK (octet_length(sealed) <= 131072)
);
CREATE INDEX evidence_frame_device ON evidence_frame (device, taken_at);
CREATE INDEX evidence_frame_received ON evidence_frame USING brin (received_at);
COMMENT ON COLUMN evidence_frame.residents IS 'Who had agreed when it came, each of them';

INSERT INTO retention (class, keep, at_least, compress_after, reason) VALUES
    ('evidence_frame', '72 hours', '1 hour', NULL,
     'until the case is reviewed; a picture is the most that we hold of anybody');

-- Whether a resident's latest word on a purpose, in force at a moment, is a yes.
CREATE FUNCTION agrees(asked text, asked_purpose text, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE RETURN coalesce((
    SELECT granted FROM consent
    WHERE resident = asked AND purpose = asked_purpose AND since <= at AND at < until
    ORDER BY since DESC LIMIT 1), false);

-- Whom a camera watches over, where each of them agrees to the camera and to frames; NULL where
-- anybody does not, where nobody is known, and in public places.
CREATE FUNCTION agreed_to_frames(camera text, at timestamptz) RETURNS text[]
LANGUAGE sql STABLE RETURN (
    SELECT array_agg(a.resident ORDER BY a.resident)
    FROM device d
    JOIN zone z ON z.id = d.zone
    JOIN assignment a ON a.device = d.id AND a.since <= at AND at < a.until
    JOIN resident r ON r.id = a.resident
    WHERE d.id = camera AND d.kind = 'camera' AND d.retired_at IS NULL AND NOT z.public
    HAVING bool_and(r.flagged AND agrees(a.resident, 'home_camera', at)
                    AND agrees(a.resident, 'evidence_frame', at)));

-- Who takes the word back takes the pictures with it.
CREATE FUNCTION forget_frames() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM evidence_frame WHERE NEW.resident = ANY (residents);
    RETURN NULL;
END $$;
CREATE TRIGGER forget_frames AFTER INSERT OR UPDATE ON consent FOR EACH ROW
    WHEN (NEW.purpose IN ('evidence_frame', 'home_camera') AND NOT NEW.granted)
    EXECUTE FUNCTION forget_frames();
