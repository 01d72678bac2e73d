"""What every room agrees upon: events, topics, errors, settings, store and schema, telemetry, alerts' life."""
