"""Lets pass what may be observed: what the register of consents forbids is dropped before it is kept.

Place in the flow: between the sources and `edge.intake`.  A camera that nobody has agreed to is not even
opened (`edge.config.merged`); a pendant goes on, since its button calls for help whatever anybody has
agreed to, and its falls are dropped here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter

from vigil.purposes import PURPOSE_OF

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.reading import Put, Reading
    from vigil.boxconfig import Without

dropped_total = Counter(
    "vigil_edge_withheld_total", "Readings dropped on the box: no consent to what they are for.", ["purpose"]
)


class Gate:
    """Asks the present config of every reading."""

    def __init__(self, put: Put, without: Callable[[], Without]) -> None:
        """Build it.

        Args:
            put: Takes what passes.
            without: What devices may not be used for now.
        """
        self._put, self._without = put, without

    async def put(self, reading: Reading) -> None:
        """Hand a reading on, or drop it."""
        purpose = PURPOSE_OF.get(type(reading.data))
        if purpose is not None and purpose in self._without().get(reading.device, ()):
            dropped_total.labels(purpose).inc()
            return
        await self._put(reading)
