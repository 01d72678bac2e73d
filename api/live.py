"""The live stream: every change of an alert, once encoded, to every session that may see it.

Place in the flow: PostgreSQL notifies (`vigil.store.listen`), the hub reads what is new in the
order of the changes, encodes each once per view, and gives the same bytes to every session: onto
its wire where it has one (`api.wire`), else into its queue, which `api.stream` writes out.

Rules
-----
1. A frame's `id:` is the number of its change.  A session that comes back with the last one it
   saw is first given what it missed from the table, then what the hub passes on; a number that
   was already sent is skipped.  So nothing is missed and nothing is sent twice.
2. A session that does not keep up is dropped when its queue or its wire is full; it comes back by
   itself, and rule 1 holds for it.  Nobody waits for a slow reader.
3. A session that was away for more than `CATCH_UP` changes, or names one that is yet to come
   (the database was put back), is told to load the board anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from prometheus_client import Counter, Gauge, Histogram

from api.access import ROBOTS
from api.views import alert_view
from api.wire import Wire, chunk
from vigil.errors import Unavailable
from vigil.store import alerts, board
from vigil.store.listen import reading, wakes
from vigil.store.pool import ProcessRole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator
    from typing import Any

    from pydantic import SecretStr

    from api.access import Identity, View
    from vigil.clock import Clock
    from vigil.store.board import CardChange, Scope
    from vigil.store.pool import Connection, Pool

QUEUE: Final = 512
"""Frames a session may lag behind; at 1 kB a frame 200 slow sessions hold 100 MB at most."""
CATCH_UP: Final = 2000
"""Changes that are sent one by one after an absence; past that, loading the board is shorter."""
BATCH: Final = 500
LOOK_EVERY_S: Final = 5.0
"""Without any notice the hub looks all the same: a notice may be lost, a row cannot."""
_SESSIONS: Final = Gauge("vigil_live_sessions", "Consoles and robots that are connected to the live stream.")
_DROPPED: Final = Counter("vigil_live_dropped_total", "Sessions dropped because they did not keep up.")
_CHANGES: Final = Counter("vigil_live_changes_total", "Changes passed on to the live stream.")
_LAG: Final = Histogram(
    "vigil_live_lag_seconds",
    "From an alert's change to its place in the sessions' queues.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
T = TypeVar("T")
_log = structlog.get_logger(__name__)


async def whole(reading: Coroutine[Any, Any, T]) -> T:
    """Await a database read to its end, even if the reader goes away meanwhile.

    Cancelling a query costs the pool its connection (pitfall 26), and readers of a live stream
    come and go by the hundred.
    """
    return await asyncio.shield(asyncio.create_task(reading))


@dataclass(slots=True)
class Frame:
    """A change, encoded at most once per view.

    Attributes:
        change: Its number.
        source: What changed.
    """

    change: int
    source: CardChange
    _encoded: dict[View, bytes] = field(default_factory=dict)
    _chunked: dict[View, bytes] = field(default_factory=dict)

    def chunk_for(self, view: View) -> bytes:
        """Return the event as a wire takes it."""
        if view not in self._chunked:
            self._chunked[view] = chunk(self.bytes_for(view))
        return self._chunked[view]

    def bytes_for(self, view: View) -> bytes:
        """Return the event as it goes over the wire."""
        if view not in self._encoded:
            shown = alert_view(self.source.card, view).model_dump_json()
            text = f"id: {self.change}\nevent: {self.source.action}\ndata: {shown}\n\n"
            self._encoded[view] = text.encode()
        return self._encoded[view]

    def concerns(self, scope: Scope) -> bool:
        """Whether the change is in somebody's scope."""
        alert = self.source.card.alert
        return scope.covers(alert.estate, alert.synthetic)


class Session:
    """One reader of the live stream, and what waits for it."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.scope = identity.scope
        self.ended = False
        self.wire: Wire | None = None
        self._waiting: deque[Frame] = deque()
        self._wake = asyncio.Event()

    def offer(self, frames: list[Frame]) -> bool:
        """Write what is in scope, or put it into the queue; False when that is full, and the session ends."""
        mine = [frame for frame in frames if frame.concerns(self.scope)]
        taken = not mine or (self._write(self.wire, mine) if self.wire else self._keep(mine))
        if not taken:
            self.end()
        return taken

    def _write(self, wire: Wire, frames: list[Frame]) -> bool:
        view = self.identity.view
        return wire.write(b"".join(frame.chunk_for(view) for frame in frames))

    def _keep(self, frames: list[Frame]) -> bool:
        if len(self._waiting) + len(frames) > QUEUE:
            return False
        self._waiting += frames
        self._wake.set()
        return True

    def go_direct(self, wire: Wire, sent: int) -> None:
        """Write what waits after a change that was sent; from here on the hub writes by itself."""
        waiting, self.wire = [frame for frame in self._waiting if frame.change > sent], wire
        self._waiting.clear()
        self.offer(waiting)

    def end(self) -> None:
        """Let the reader finish."""
        self.ended = True
        self._wake.set()

    async def take(self, timeout_s: float) -> list[Frame]:
        """Return what waits, or nothing after `timeout_s`."""
        if not self._waiting and not self.ended:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                return []
        self._wake.clear()
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


class Hub:
    """Reads changes once and passes them on to every session.

    Attributes:
        position: Number of the last change passed on; None before the first look.
        trouble: What is wrong, in a few words, or None.
    """

    def __init__(self, dsn: SecretStr, pool: Pool, clock: Clock) -> None:
        self.position: int | None = None
        self.trouble: str | None = "not listening yet"
        self.closed = False
        self._dsn = dsn
        self._pool = pool
        self._clock = clock
        self._sessions: set[Session] = set()

    @property
    def consoles(self) -> int:
        """How many people's consoles are connected; robots do not count."""
        return sum(session.identity.role not in ROBOTS for session in self._sessions)

    async def run(self) -> None:
        """Pass changes on until cancelled."""
        knocking = wakes(self._dsn, alerts.CHANNEL, LOOK_EVERY_S, ProcessRole.API, self._pool.vault)
        async with aclosing(knocking) as knocks:
            async for connection in knocks:
                try:
                    self.trouble = None if connection else "not listening to the database"
                    while connection and await self._advance(connection):
                        pass
                except Unavailable as error:
                    self.trouble = str(error)
                    _log.warning("live stream waits", error=str(error))

    async def _advance(self, connection: Connection) -> bool:
        """Read the next changes and pass them on; returns whether there may be more."""
        with reading(connection):
            if self.position is None:
                self.position = await alerts.last_change(connection)
            changes = await board.cards_after(connection, self.position, BATCH)
        if changes:
            self._pass_on([Frame(change.change, change) for change in changes])
            self.position = changes[-1].change
        return len(changes) == BATCH

    def _pass_on(self, frames: list[Frame]) -> None:
        _CHANGES.inc(len(frames))
        now = self._clock()
        for frame in frames:
            _LAG.observe(max(0.0, (now - frame.source.card.alert.changed_at).total_seconds()))
        for session in list(self._sessions):
            if not session.offer(frames):
                _DROPPED.inc()
                self._sessions.discard(session)

    def close(self) -> None:
        """Let every session end, and accept no new one: the process is going down."""
        self.closed = True
        for session in self._sessions:
            session.end()

    @contextmanager
    def session(self, identity: Identity) -> Iterator[Session]:
        """Keep a session while its connection lasts."""
        session = Session(identity)
        self._sessions.add(session)
        _SESSIONS.inc()
        if self.closed:
            session.end()
        try:
            yield session
        finally:
            self._sessions.discard(session)
            _SESSIONS.dec()

    async def follow(
        self, session: Session, after: int | None, quiet_s: float, wire: Wire | None = None
    ) -> AsyncIterator[bytes | None]:
        """Yield a session's bytes: what it missed after a change, then what comes; None when quiet.

        Args:
            session: Already in the hub, so that nothing falls between the two.
            after: Number of the last change it saw; None begins with what comes now.
            quiet_s: How long nothing may happen before None is yielded.
            wire: Where the hub itself writes what comes, once what was missed is out; then None
                alone is yielded, each time that `quiet_s` have passed.
        """
        sent = after or 0
        if after is not None and await self._is_far(after):
            sent = await whole(self._now())
            yield f"id: {sent}\nevent: reload\ndata: {{}}\n\n".encode()
        elif after is not None:
            async for frames in self._missed(after):
                sent = frames[-1].change
                yield self._joined(session, frames)
        if wire is not None:
            session.go_direct(wire, sent)
        while not session.ended:
            frames = [f for f in await session.take(quiet_s) if f.change > sent]
            sent = frames[-1].change if frames else sent
            yield self._joined(session, frames) or None

    async def _is_far(self, after: int) -> bool:
        """Whether a session was away too long, or comes from a database that is no more (rule 3)."""
        return not 0 <= await whole(self._now()) - after <= CATCH_UP

    async def _now(self) -> int:
        async with self._pool.connection() as connection:
            return await alerts.last_change(connection)

    async def _after(self, change: int) -> list[CardChange]:
        async with self._pool.connection() as connection:
            return await board.cards_after(connection, change, BATCH)

    async def _missed(self, after: int) -> AsyncIterator[list[Frame]]:
        """Read what happened after a change up to now, in batches."""
        while changes := await whole(self._after(after)):
            yield [Frame(change.change, change) for change in changes]
            after = changes[-1].change

    @staticmethod
    def _joined(session: Session, frames: list[Frame]) -> bytes:
        view = session.identity.view
        return b"".join(frame.bytes_for(view) for frame in frames if frame.concerns(session.scope))
