"""What the box knows of itself, every ten seconds.

Place in the flow: a small source beside the others; the platform's coverage map and the
watchdog's "edge box lost" live on it.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge.reading import Reading
from vigil.events import DeviceHealth

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.intake import Intake
    from edge.reading import Put
    from edge.spool import Spool
    from edge.timesync import Now

EVERY_S: Final = 10.0
LOW_DISK_MB: Final = 200.0
"""Below this the spool may not find room for its own bound."""
_TEMPERATURE: Final = Path("/sys/class/thermal/thermal_zone0/temp")
_POWER: Final = Path("/sys/class/power_supply")


class BoxHealth:
    """The node's own health as a source."""

    def __init__(
        self,
        node: str,
        spool: Spool,
        intake: Intake,
        now: Now,
        troubles: Callable[[], list[str]],
        folder: Path,
    ) -> None:
        """Build it.

        Args:
            node: Id of the node, which is also its own device.
            spool: What is measured.
            intake: Its thread.
            now: The clocks.
            troubles: What is wrong with the sources and the spool, in a few words each.
            folder: Where the spool is.
        """
        self._node, self._spool, self._intake = node, spool, intake
        self._now, self._troubles, self._folder = now, troubles, folder

    async def run(self, put: Put) -> None:
        """Report for ever."""
        while True:
            await put(await self.step())
            await asyncio.sleep(EVERY_S)

    async def step(self) -> Reading:
        """Measure once."""
        now = self._now()
        free_mb = shutil.disk_usage(self._folder).free / 2**20
        health = DeviceHealth(
            spool_depth=sum(self._spool.depth().values()),
            spool_bytes=await self._intake.call(self._spool.used_bytes),
            disk_free_mb=round(free_mb, 1),
            clock_offset_s=round(now.clockerr, 3),
            temperature_c=_thousandths(_TEMPERATURE),
            battery_pct=battery_pct(_POWER),
            trouble=troubles_of(free_mb, now.clock, self._troubles()),
        )
        return Reading(self._node, health, now.utc)


def troubles_of(free_mb: float, clock: str, others: list[str]) -> list[str]:
    """Return what is wrong, in a few words each."""
    own = []
    if free_mb < LOW_DISK_MB:
        own.append(f"disk nearly full: {free_mb:.0f} MB free")
    if clock != "synced":
        own.append(f"clock {clock}")
    return own + others


def battery_pct(folder: Path) -> float | None:
    """Return the charge of the box's battery, None where it has none."""
    found = sorted(folder.glob("*/capacity")) if folder.is_dir() else []
    return _number(found[0]) if found else None


def _thousandths(path: Path) -> float | None:
    number = _number(path)
    return None if number is None else round(number / 1000, 1)


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None
