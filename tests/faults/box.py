"""`python -m tests.faults.box SEED COUNT RATE DEVICES`: a real edge box with a seeded load.

Everything but the source is the product's own: spool, publisher, connection.  A box that is
started again goes on where the load was when it died; a reading that was offered and not
accepted is offered again, which may make two events of it, both accepted, both to be counted.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge import __main__ as edge_main
from edge import box
from tests.faults.load import Devices, load

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from edge.config import Node
    from edge.reading import Put, Source
    from vigil.clock import Clock

GROUP = 20
"""Readings offered together: as many as share a group commit in a burst."""


class Load:
    """Offers the load, and notes how far it has come in a file beside the spool."""

    def __init__(self, utc: Clock, note: Path) -> None:
        self._utc, self._note = utc, note
        self._seed, self._count, self._rate = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
        self._devices = msgspec.json.decode(sys.argv[4], type=Devices)

    async def run(self, put: Put) -> None:
        """Offer each reading until it is accepted."""
        done = int(self._note.read_text()) if self._note.exists() else 0
        items = islice(load(self._seed, self._count, self._rate, self._devices), done, None)
        while group := list(islice(items, GROUP)):
            await asyncio.sleep(sum(item.pause_s for item in group))
            readings = [item.reading(self._utc()) for item in group]
            await asyncio.gather(*(put(reading) for reading in readings))
            done += len(group)
            self._note.write_text(str(done))


class LoadBox(box.Box):
    """A box whose only source is the load."""

    def _built(self, _node: Node, _names: Collection[str]) -> Mapping[str, Source]:
        return {"load": Load(self._utc, Path(os.environ["VIGIL_EDGE_SPOOL"] + ".load"))}


def made_of(node: Node) -> dict[str, object]:  # noqa: ARG001 - one source, whatever the config says
    """Name the load as the only source."""
    return {"load": True}


if __name__ == "__main__":
    edge_main.Box = LoadBox  # type: ignore[attr-defined]  # the source is all that is not the product's
    box._made_of = made_of
    sys.exit(edge_main.main([]))
