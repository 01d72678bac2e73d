"""Notice from outside that the platform fails, and hand over to people.

The watchdog shares no broker, database or DNS name with what it watches: it publishes
canaries as a node of its own, looks on as a robot officer, and keeps SQLite.  `liveness`,
`canary`, `state` and the other deciding modules are pure; `watchdog` turns the wheel.
"""
