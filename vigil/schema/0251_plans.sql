-- An estate's plan as somebody has drawn it: an SVG that was cleaned (`api.svg`), and where it lies in the
-- metres of the estate's places.  Append-only; the newest version counts, and one without a drawing is none.
CREATE TABLE estate_plan (
    estate      text NOT NULL REFERENCES estate,
    version     int NOT NULL,
    svg         text,
    west_m      real NOT NULL DEFAULT 0,
    south_m     real NOT NULL DEFAULT 0,
    width_m     real NOT NULL DEFAULT 100 CHECK (width_m > 0),
    high        real NOT NULL DEFAULT 1 CHECK (high > 0),
    made_by     text NOT NULL,
    made_at     timestamptz NOT NULL,
    PRIMARY KEY (estate, version)
);
COMMENT ON COLUMN estate_plan.high IS 'height of the drawing, as a multiple of its width';
