-- Account for sequence numbers in one round trip, and let go of the watermarks of boots that are over.

-- The row that everything of a box, boot and lane goes through is written once a batch: room beside it
-- keeps the new version in its page, and the index as it is (HOT).
ALTER TABLE watermark SET (fillfactor = 60);

ALTER TABLE watermark ADD COLUMN ended boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN watermark.ended IS
    'A birth of a later boot has named the last number of this one: no further number will be given out';
-- Not on changed_at: an index on a column that every batch changes would end HOT.
CREATE INDEX watermark_ended ON watermark (node, boot) WHERE ended;

-- Boots of which every number that was ever given out is accounted for, and nothing was heard for long:
-- eight bytes each instead of a row a lane.  Whatever comes of them again is a repetition.
CREATE TABLE closed_boot (
    node        text PRIMARY KEY,
    boots       int8[] NOT NULL
);
COMMENT ON COLUMN closed_boot.boots IS 'As boot_number() writes them';

-- A boot as a number: its ordinal before its random half; null for what no spool would write.
CREATE FUNCTION boot_number(boot text) RETURNS int8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN boot ~ '^(0|[1-9][0-9]{0,8})-[0-9a-f]{8}$' THEN
    (split_part(boot, '-', 1)::int8 << 32) | ('x' || split_part(boot, '-', 2))::bit(32)::int8 END;

-- Account for numbers, and say which of them were accounted for before.
--
-- asked: [[node, boot, lane, multirange], ...], each key once.  Returns {"stored": [n, ...], "again":
-- [[place from 0, multirange], ...]}: for each key the watermark that results, and what was known already.
-- Until the commit nobody else accounts for these keys.  The second statement has a snapshot of its own,
-- so it sees what those before it have committed; everybody locks in one order.
CREATE FUNCTION account(asked jsonb, at timestamptz) RETURNS text
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    answer text;
BEGIN
    INSERT INTO watermark (node, boot, lane, changed_at)
    SELECT a.key->>0, a.key->>1, a.key->>2, at FROM jsonb_array_elements(asked) AS a(key)
    WHERE NOT EXISTS (SELECT FROM watermark w WHERE (w.node, w.boot, w.lane) = (a.key->>0, a.key->>1, a.key->>2))
      AND NOT EXISTS (SELECT FROM closed_boot c WHERE c.node = a.key->>0 AND boot_number(a.key->>1) = ANY (c.boots))
    ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING;

    WITH wanted AS (
        SELECT key->>0 AS node, key->>1 AS boot, key->>2 AS lane, (key->>3)::int8multirange AS seqs, place - 1 AS place
        FROM jsonb_array_elements(asked) WITH ORDINALITY AS a(key, place)),
    held AS (
        SELECT w.node, w.boot, w.lane, w.accounted, wanted.seqs, wanted.place
        FROM wanted JOIN watermark w USING (node, boot, lane)
        ORDER BY w.node, w.boot, w.lane FOR UPDATE OF w),
    moved AS (
        UPDATE watermark w SET accounted = held.accounted + held.seqs, changed_at = at
        FROM held WHERE (w.node, w.boot, w.lane) = (held.node, held.boot, held.lane)
        RETURNING held.place, stored(w.accounted) AS stored, held.accounted * held.seqs AS again),
    -- Also where a row came back that should not have: what is closed stays closed.
    closed AS (
        SELECT place, upper(range_merge(seqs)) - 1 AS stored, seqs AS again
        FROM wanted JOIN closed_boot c USING (node) WHERE boot_number(boot) = ANY (c.boots)),
    ended AS (
        SELECT * FROM closed UNION ALL
        SELECT * FROM moved WHERE NOT EXISTS (SELECT FROM closed WHERE closed.place = moved.place))
    SELECT json_build_object(
        'stored', coalesce(json_agg(stored ORDER BY place), '[]'::json),
        'again', coalesce(json_agg(json_build_array(place, again::text)) FILTER (WHERE NOT isempty(again)), '[]'::json))
    INTO answer FROM ended;

    -- A boot was closed between the two statements.
    IF json_array_length(answer::json->'stored') <> jsonb_array_length(asked) THEN
        RAISE serialization_failure USING MESSAGE = 'a boot was closed meanwhile';
    END IF;
    RETURN answer;
END $$;

-- Let go of watermarks that say nothing any more; returns how many rows.
CREATE FUNCTION close_boots(before timestamptz, most int) RETURNS bigint
LANGUAGE sql AS $$
    WITH over AS (
        SELECT DISTINCT node, boot FROM watermark w
        WHERE ended AND changed_at < before AND boot_number(boot) IS NOT NULL
          AND NOT EXISTS (
            SELECT FROM watermark x WHERE (x.node, x.boot) = (w.node, w.boot)
              AND NOT (x.ended AND x.changed_at < before AND stored(x.accounted) >= x.given
                       AND x.accounted = int8multirange(range_merge(x.accounted))))
        LIMIT most),
    held AS (
        SELECT w.node, w.boot, w.lane FROM watermark w JOIN over USING (node, boot)
        WHERE w.ended AND w.changed_at < before AND stored(w.accounted) >= w.given
          AND w.accounted = int8multirange(range_merge(w.accounted))
        ORDER BY w.node, w.boot, w.lane FOR UPDATE OF w),
    -- One that was written to while we waited for its lock is not among them, and its boot stays.
    whole AS (
        SELECT node, boot FROM held GROUP BY node, boot
        HAVING count(*) = (SELECT count(*) FROM watermark x WHERE (x.node, x.boot) = (held.node, held.boot))),
    gone AS (
        DELETE FROM watermark w USING whole WHERE (w.node, w.boot) = (whole.node, whole.boot)
        RETURNING w.node, w.boot),
    noted AS (
        INSERT INTO closed_boot AS c (node, boots)
        SELECT node, array_agg(DISTINCT boot_number(boot)) FROM gone GROUP BY node ORDER BY node
        ON CONFLICT (node) DO UPDATE SET boots = c.boots || excluded.boots)
    SELECT count(*) FROM gone;
$$;

INSERT INTO retention (class, keep, at_least, compress_after, reason) VALUES
    ('watermark', '180 days', '60 days', NULL,
     'of boots that are over and wholly accounted for; what comes of them later is known to be a repetition');
