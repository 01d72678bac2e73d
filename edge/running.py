"""The node's sources while they run: started, restarted when they fail, replaced on a new config.

Place in the flow: `edge.__main__` starts them; `edge.remote_config` replaces them.  A
source that fails is started again after a while, and meanwhile named in the node's health;
the others go on.  A source that is to be as it is goes on, too, when others are replaced: a window of
a fall that it is in the middle of is not lost to another device's setting.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from vigil.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
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
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._made_of: dict[str, object] = {}
        self.trouble: dict[str, str] = {}

    def start(self, sources: Mapping[str, Source], made_of: Mapping[str, object]) -> None:
        """Start sources.

        Args:
            sources: By name.
            made_of: What each is made of; equal to what it is made of later, it need not be replaced.
        """
        for name, source in sources.items():
            self._tasks[name] = asyncio.create_task(self._kept_running(name, source), name=f"source-{name}")
            self._made_of[name] = made_of[name]

    async def replace(
        self, made_of: Mapping[str, object], build: Callable[[Collection[str]], Mapping[str, Source]]
    ) -> None:
        """Stop what is to be gone or other, build the new sources, and start them.

        Args:
            made_of: What each source is to be made of, by name.
            build: Builds the named ones, when the old ones have left their ports.
        """
        other = [name for name in self._tasks if name not in made_of or self._made_of[name] != made_of[name]]
        await self._stop(other)
        self.start(build(made_of.keys() - self._tasks.keys()), made_of)

    async def stop(self) -> None:
        """Stop all sources, and forget their troubles."""
        await self._stop(list(self._tasks))

    async def _stop(self, names: Iterable[str]) -> None:
        ending = [self._tasks.pop(name) for name in names]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for name in self.trouble.keys() - self._tasks.keys():
            del self.trouble[name]

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
