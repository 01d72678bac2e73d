"""PostgreSQL, and nobody else speaks to it: pools, migrations, intake, registry, alerts."""
