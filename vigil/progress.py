"""How far a process has come: what its `/readyz` says beside "ready", and the watchdog reads.

A process that lives, answers, and no longer moves is the failure that neither its supervisor
nor its health check sees; `vigil.telemetry` serves this, `fallback.liveness` judges it.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct


class Work(Struct, frozen=True):
    """One kind of work of a process.

    Attributes:
        done: Units since its start: records, messages, steps.
        waiting: Units that it knows to wait now; while some do, `done` has to move.
        oldest_s: How long the oldest of them has waited (s); 0 where that is not known.
    """

    done: int
    waiting: int = 0
    oldest_s: float = 0.0


Progress = Callable[[], Work]
"""Returns how far one kind of work has come; reads state and never waits."""
