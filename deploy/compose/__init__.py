"""What a site needs before `deploy/compose.yaml` can start: its secrets, certificates and access list."""
