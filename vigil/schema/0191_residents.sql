-- The register of consents in full, and what residents and their families may see of themselves.

ALTER TABLE consent
    ADD COLUMN class       text,
    ADD COLUMN guardian    text,
    ADD COLUMN proof       text,
    ADD COLUMN recorded_by text;
COMMENT ON COLUMN consent.given_by IS 'self, guardian, or whatever an import of an older register says';
COMMENT ON COLUMN consent.class IS 'sensitive (PIPL 28, 29) or sharing (PIPL 23); null: before classes were kept';
COMMENT ON COLUMN consent.guardian IS 'who gave it in the resident''s place';
COMMENT ON COLUMN consent.proof IS 'where the proof is kept: number of the signed paper; never the paper itself';
COMMENT ON COLUMN consent.recorded_by IS 'the actor who wrote it down';
COMMENT ON COLUMN consent.granted IS 'false is a withdrawal, or a refusal; the latest word in force counts';

-- Whose account it is: a resident's own, or one of their family.
CREATE TABLE account_resident (
    account     text NOT NULL REFERENCES account ON DELETE CASCADE,
    resident    text NOT NULL REFERENCES resident ON DELETE CASCADE,
    relation    text NOT NULL CHECK (relation IN ('self', 'family')),
    made_by     text NOT NULL,
    made_at     timestamptz NOT NULL,
    PRIMARY KEY (account, resident)
);
CREATE UNIQUE INDEX account_resident_self ON account_resident (account) WHERE relation = 'self';
CREATE INDEX account_resident_resident ON account_resident (resident);
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON account_resident
    FOR EACH ROW EXECUTE FUNCTION audited('account resident', 'relation');

-- What residents report of their neighbourhood, and the task that it became.
CREATE TABLE neighbourhood_report (
    id          uuid PRIMARY KEY,
    resident    text NOT NULL REFERENCES resident ON DELETE CASCADE,
    estate      text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('lift', 'light', 'way', 'noise', 'rubbish', 'other')),
    words       text NOT NULL,
    made_by     text NOT NULL,
    made_at     timestamptz NOT NULL,
    alert       uuid NOT NULL REFERENCES alert,
    task        uuid REFERENCES task
);
CREATE INDEX neighbourhood_report_resident ON neighbourhood_report (resident, made_at);

-- Whom an account with the role resident or family may see now: oneself, or who agrees to it.  Asked with
-- the owner's rights, since nobody's scope is known yet.
CREATE FUNCTION own_residents(asked text, at timestamptz) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT coalesce(array_agg(x.resident ORDER BY x.resident), '{}')
    FROM account_resident x JOIN account a ON a.id = x.account
    WHERE x.account = asked AND a.disabled_at IS NULL
      AND ((a.role = 'resident' AND x.relation = 'self')
           OR (a.role = 'family' AND x.relation = 'family' AND agrees(x.resident, 'family_access', at)))
$$;
REVOKE EXECUTE ON FUNCTION own_residents FROM PUBLIC;

-- The residents of this transaction (SET LOCAL vigil.residents); NULL, which compares with nothing, where
-- none were set.
CREATE FUNCTION scope_residents() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('vigil.residents', true), '')::text[];

-- Their homes, for the row of the door alone.
CREATE FUNCTION scope_homes() RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT array_agg(home) FROM resident WHERE scope_residents() IS NOT NULL AND id = ANY (scope_residents())
$$;

-- A task need not end with a person at a door: a lamp is put right, or passed on to whoever does that.
ALTER TABLE task DROP CONSTRAINT task_outcome_check;
ALTER TABLE task ADD CONSTRAINT task_outcome_check
    CHECK (outcome IN ('seen_well', 'phone_well', 'refused', 'emergency', 'put_right', 'passed_on'));
