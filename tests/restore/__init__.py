"""The restore drill: load, a destroyed database, a restoration, and an independent count."""
