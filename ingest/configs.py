"""Give boxes their configs and commands: compiles what the register of consents says, publishes what is newest.

Place in the flow: beside `ingest.watch`; `vigil.store.configs` keeps the versions, `ingest.downlink` carries
them, `edge.remote_config` takes them, and the answers come back as any reply does.  Every member of ingest
does all of it: two who make the same version make one, and a retained message twice is the same message.

Rules
-----
1. What is newest is published once by each member, again after each new connection to the broker (which
   may have lost what it retained), and again every `AGAIN_S` while a connected box has neither taken nor
   refused it: an older version may have come last.
2. A box that is away finds the newest retained when it comes back.
3. A node that is retired, or stands in another estate now, leaves no config behind.
4. A command is published until the box answers or the command ends, and never retained.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Counter

from vigil.errors import Unavailable
from vigil.events import Command, encode
from vigil.store import configs
from vigil.store.configs import Seen
from vigil.topics import Address, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from ingest.downlink import Downlink
    from vigil.clock import Clock
    from vigil.store.configs import Newest, Version
    from vigil.store.pool import Pool

LOOK_S: Final = 3.0
"""A withdrawn consent is to be felt on a box within 60 s."""
AGAIN_S: Final = 15.0
COMMAND_AGAIN_S: Final = 10.0
AT_ONCE: Final = 50
"""Nodes compiled in one transaction and without letting anybody else have the core: some milliseconds."""
GONE: Final = 0
"""Stands for the version of a node that is retired: nothing is retained."""

compiled = Counter("vigil_ingest_configs_compiled_total", "Versions of configs made of the register.")
published = Counter("vigil_ingest_configs_total", "Configs and commands published, repetitions included.")
_log = structlog.get_logger(__name__)


class Configs:
    """Keeps what boxes are told current."""

    def __init__(self, pool: Pool, downlink: Downlink, clock: Clock) -> None:
        self._pool, self._downlink, self._clock = pool, downlink, clock
        self._seen = Seen()
        self._connections = 0
        self._told: dict[str, tuple[int, float]] = {}
        self._ordered: dict[UUID, float] = {}

    async def run(self) -> None:
        """Go on for ever."""
        while True:
            try:
                await self.step(asyncio.get_running_loop().time())
            except Unavailable as error:
                _log.warning("configs stay as they are", error=str(error))
            await asyncio.sleep(LOOK_S)

    async def step(self, now_s: float) -> None:
        """Compile what has changed, and publish what is due.

        Args:
            now_s: Seconds that only grow.
        """
        await self.compile()
        if self._downlink.connections != self._connections:
            self._connections = self._downlink.connections
            self._told.clear()
            self._ordered.clear()
        await self._publish(now_s)
        await self._order(now_s)

    async def compile(self) -> None:
        """Make the versions that the register, or what boxes answered, asks for."""
        now = self._clock()
        async with self._pool.connection() as connection:
            changed, seen = await configs.changed_nodes(connection, self._seen, now)
            nodes = sorted({*changed, *await configs.behind_their_boxes(connection)})
        for first in range(0, len(nodes), AT_ONCE):
            async with self._pool.transaction() as connection:
                made = await configs.compile_nodes(connection, nodes[first : first + AT_ONCE], now)
            compiled.inc(len(made))
            for version in made:
                _log.info("a config was made", node=version.node, version=version.version, why=version.reason)
        self._seen = seen

    async def _publish(self, now_s: float) -> None:
        async with self._pool.connection() as connection:
            due = [one for one in await configs.to_publish(connection) if self._is_due(one, now_s)]
            wanted = {one.node: one.version for one in due}
            found = await configs.documents(connection, wanted) if wanted else []
        retired = {one.node for one in due if one.retired}
        for version, before in found:
            self._tell(version, gone=version.node in retired, before=before)
            self._told[version.node] = (GONE if version.node in retired else version.version, now_s)

    def _is_due(self, one: Newest, now_s: float) -> bool:
        version, at_s = self._told.get(one.node, (-1, 0.0))
        if version != (GONE if one.retired else one.version):
            return True
        waits = one.online and not one.taken and not one.refused and not one.retired
        return waits and now_s - at_s >= AGAIN_S

    def _tell(self, version: Version, *, gone: bool, before: str | None) -> None:
        at = version.content.address
        self._downlink.send(at.topic(Kind.CONFIG), b"" if gone else version.document.encode(), retain=True)
        if before is not None:
            left = Address(at.community, before, at.node)
            self._downlink.send(left.topic(Kind.CONFIG), b"", retain=True)
        published.inc()

    async def _order(self, now_s: float) -> None:
        async with self._pool.connection() as connection:
            still = await configs.open_orders(connection, self._clock())
        self._forget(order.id for *_, order in still)
        for community, estate, order in still:
            if now_s - self._ordered.get(order.id, -COMMAND_AGAIN_S) < COMMAND_AGAIN_S:
                continue
            topic = Address(community, estate, order.node).topic(Kind.CMD, order.node)
            said = {"id": str(order.id), "command": order.command, "expires": order.expires_at}
            self._downlink.send(topic, encode(Command(**said)))  # type: ignore[arg-type]  # the database checks the word
            self._ordered[order.id] = now_s
            published.inc()

    def _forget(self, still: Iterable[UUID]) -> None:
        left = set(still)
        self._ordered = {id_: at_s for id_, at_s in self._ordered.items() if id_ in left}
