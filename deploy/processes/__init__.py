"""The processes of an installation, as one table, and what is made of it.

`table` says what runs (pure).  `units` makes systemd's files of it, `kubernetes` the manifests;
`python -m deploy.processes` writes both, and tests hold `compose.yaml` against the table.
"""
