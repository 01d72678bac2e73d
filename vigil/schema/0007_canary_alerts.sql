-- Delete the oldest alerts of canaries with what belongs to them; returns how many.  An alert that
-- anything else refers to stays, whichever tables there will be: somebody has made something of it.
CREATE FUNCTION forget_canary_alerts(before timestamptz, most int) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    unused text;
    old uuid[];
BEGIN
    SELECT coalesce(string_agg(format(' AND NOT EXISTS (SELECT FROM %s x WHERE x.%I = a.id)',
                                      conrelid::regclass, attname), ''), '')
    INTO unused
    FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
    WHERE contype = 'f' AND confrelid = 'alert'::regclass
      AND conrelid NOT IN ('alert_evidence'::regclass, 'alert_transition'::regclass);
    EXECUTE 'SELECT array_agg(id) FROM (
                 SELECT id FROM alert a WHERE synthetic = ''canary'' AND changed_at < $1' || unused || '
                 ORDER BY changed_at LIMIT $2 FOR UPDATE SKIP LOCKED) old'
    INTO old USING before, most;
    DELETE FROM alert_evidence WHERE alert = ANY (old);
    DELETE FROM alert_transition WHERE alert = ANY (old);
    DELETE FROM alert WHERE id = ANY (old);
    RETURN coalesce(cardinality(old), 0);
END $$;
