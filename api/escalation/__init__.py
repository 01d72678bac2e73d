"""From an alert to a person, or the next person: planned purely, kept as rows, sent, audited."""
