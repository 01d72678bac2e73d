"""The node's sources while they run: started, restarted when they fail, replaced on a new config.

Place in the flow: `edge.__main__` starts them; `edge.remote_config` replaces them.  A
source that fails is started again after a while, and meanwhile named in the node's health;
the others go on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from vigil.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from edge.reading import Put, Reading, Source

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
RETRY_S: Final = 1.0
"""How long a source waits while the spool has no room."""
_log = structlog.get_logger(__name__)


class Running:
    """The running sources.

    Attributes:
        trouble: What is wrong with a source, by its name; empty when all is well.
    """

    def __init__(self, put: Put, rng: Random) -> None:
        self._put, self._rng = put, rng
        self._tasks: list[asyncio.Task[None]] = []
        self.trouble: dict[str, str] = {}

    def start(self, sources: Mapping[str, Source]) -> None:
        """Start sources."""
        self._tasks = [
            asyncio.create_task(self._kept_running(name, source), name=f"source-{name}")
            for name, source in sources.items()
        ]

    async def replace(self, build: Callable[[], Mapping[str, Source]]) -> None:
        """Stop what runs, build the new sources (they may want the old ones' ports), start them."""
        await self.stop()
        self.start(build())

    async def stop(self) -> None:
        """Stop all sources, and forget their troubles."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self.trouble.clear()

    async def _kept_running(self, name: str, source: Source) -> None:
        wait = FIRST_WAIT_S
        while True:
            try:
                await source.run(self.put)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other sources go on and this one is tried again
                self.trouble[name] = f"source {name} failed: {type(error).__name__}"
                _log.exception("a source failed", source=name, again_in_s=wait)
            else:
                _log.info("a source has come to its end", source=name)
                return
            await asyncio.sleep(wait * (1 + self._rng.random()))
            wait = min(2 * wait, LONGEST_WAIT_S)

    async def put(self, reading: Reading) -> None:
        """Hand a reading over; wait while the spool has no room, drop what will never be taken."""
        while True:
            try:
                await self._put(reading)
            except Rejected as error:
                _log.error("a reading was refused", device=reading.device, why=str(error))
                return
            except Unavailable as error:
                _log.error("a reading waits", device=reading.device, why=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return
