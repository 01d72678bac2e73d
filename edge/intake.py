"""Takes readings from every source and makes them durable, many at one fsync.

Place in the flow: `edge.sources` and `edge.camera` call `put`; the spool is worked by one
thread of its own; `edge.publisher` is told of new rows and does its own work on the spool
through `call`.  While one batch is being written, the next one gathers: group commit.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from prometheus_client import Counter

from edge.reading import Reading, check
from vigil.errors import Unavailable, VigilError
from vigil.events import TYPE_OF

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.spool import Row, Spool
    from edge.timesync import Now

BATCH: Final = 1000
"""Readings that one transaction takes at most."""

T = TypeVar("T")
accepted_total = Counter("vigil_edge_accepted_total", "Events accepted into the spool.", ["lane"])
refused_total = Counter("vigil_edge_refused_total", "Readings that could not be accepted.", ["reason"])


class Intake:
    """The one way into the spool.

    Attributes:
        listeners: Called in the event loop with what was accepted, and its rows.
        refused: Called in the event loop with each alarm that could not be made durable.
    """

    def __init__(self, spool: Spool, now: Now) -> None:
        self._spool, self._now = spool, now
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._waiting: list[tuple[Reading, asyncio.Future[None]]] = []
        self._filled = asyncio.Event()
        self.listeners: list[Callable[[Sequence[Reading], Sequence[Row]], None]] = []
        self.refused: list[Callable[[Reading], None]] = []

    async def put(self, reading: Reading) -> None:
        """Accept a reading; when this returns, it is on the disk.

        Raises:
            Rejected: It is malformed or too large; offering it again is of no use.
            Unavailable: The disk has no room.
        """
        _checked(reading)
        await self._accepted_at((reading,))[0]

    async def put_all(self, readings: Sequence[Reading]) -> None:
        """Accept readings in this order; raises as `put` does, for the first that fails."""
        for reading in readings:
            _checked(reading)
        for outcome in await asyncio.gather(*self._accepted_at(readings), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """Do something with the spool in its own thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(work, *args))

    async def run(self) -> None:
        """Write what comes in, for ever."""
        while True:
            await self._filled.wait()
            await self.step()

    async def step(self) -> bool:
        """Write one batch; return whether there was any."""
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        if not self._waiting:
            self._filled.clear()
        if not batch:
            return False
        try:
            await self._write(batch)
        except Unavailable:
            # Whatever else must wait, the alarms get a transaction of their own.
            for alarms in (True, False):
                await self._write_or_refuse([item for item in batch if _is_alarm(item[0]) is alarms])
        return True

    async def close(self) -> None:
        """Write what is waiting, then end the spool's thread."""
        while await self.step():
            pass
        self._thread.shutdown()

    def _accepted_at(self, readings: Sequence[Reading]) -> list[asyncio.Future[None]]:
        """Queue checked readings; each future is done when its reading is durable, or refused."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[None]] = [loop.create_future() for _ in readings]
        self._waiting.extend(zip(readings, futures, strict=True))
        self._filled.set()
        return futures

    async def _write(self, batch: Sequence[tuple[Reading, asyncio.Future[None]]]) -> None:
        readings = [reading for reading, _ in batch]
        try:
            rows = await self.call(self._spool.put, readings, self._now())
        except Unavailable:
            raise
        except VigilError as error:
            self._fail(batch, error)
            raise
        for lane, count in Tally(row.key.lane for row in rows).items():
            accepted_total.labels(lane).inc(count)
        for listener in self.listeners:
            listener(readings, rows)
        for _, future in batch:
            if not future.done():
                future.set_result(None)

    async def _write_or_refuse(self, batch: Sequence[tuple[Reading, asyncio.Future[None]]]) -> None:
        if not batch:
            return
        try:
            await self._write(batch)
        except Unavailable as error:
            self._fail(batch, error)

    def _fail(self, batch: Sequence[tuple[Reading, asyncio.Future[None]]], error: VigilError) -> None:
        for reading, future in batch:
            refused_total.labels("unavailable").inc()
            if _is_alarm(reading):
                for refused in self.refused:
                    refused(reading)
            if not future.done():
                future.set_exception(error)


def _checked(reading: Reading) -> None:
    try:
        check(reading)
    except VigilError:
        refused_total.labels("rejected").inc()
        raise


def _is_alarm(reading: Reading) -> bool:
    return TYPE_OF[type(reading.data)].startswith("vigil.alarm.")
