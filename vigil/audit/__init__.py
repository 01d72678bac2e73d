"""The audit log: what people did, in a chain that cannot be changed without being found.

Place in the flow: triggers (`0190_audit.sql`) note each act in the transaction that does it,
`writer` chains the notes (`chain`, pure) and signs where the chain stands every 5 minutes; the
watchdog keeps those checkpoints in a place of its own.  `python -m vigil.audit verify` checks.
"""
