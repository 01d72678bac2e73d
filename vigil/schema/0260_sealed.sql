-- Personal fields are sealed by the API (`vigil.sealing`): name, telephone, the profile's personal part and
-- the register's history of them.  They stand in the columns where they stood, and are told from clear text
-- by their first character, so that what is there can be sealed row by row while everything runs.
-- Whoever destroys a key has erased them, here and in every copy of the database that has no keys.

CREATE TABLE resident_key (
    resident    text PRIMARY KEY REFERENCES resident ON DELETE CASCADE,
    wrapped     bytea,
    made_at     timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz,
    CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL))
);
COMMENT ON TABLE resident_key IS 'backed up apart from everything else, and for a few days only (docs/security/erasure.md)';
COMMENT ON COLUMN resident_key.wrapped IS 'AES-256 key, wrapped by the master key, which the database never has';
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON resident_key
    FOR EACH ROW EXECUTE FUNCTION audited('resident', 'destroyed_at');

-- What it takes to open a field; the connection's loader does (`vigil.store.sealed`).
CREATE TYPE personal_field AS (resident text, field text, wrapped bytea, value text);
CREATE FUNCTION personal(resident text, field text, wrapped bytea, value text) RETURNS personal_field
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN value IS NOT NULL THEN ROW(resident, field, wrapped, value)::personal_field END;

-- The register's history is written once; what stands in clear may be replaced by the same, sealed.
CREATE FUNCTION reseal_change(change bigint, sealed_before jsonb, sealed_after jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE register_change SET before = sealed_before, after = sealed_after
    WHERE id = change AND coalesce(sealed_before - 'sealed', '{}') = '{}' AND coalesce(sealed_after - 'sealed', '{}') = '{}'
      AND (before IS NULL) = (sealed_before IS NULL) AND (after IS NULL) = (sealed_after IS NULL)
$$;
REVOKE EXECUTE ON FUNCTION reseal_change FROM PUBLIC;
