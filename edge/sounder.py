"""How the box makes itself heard: the adapters behind the local alarm.

Place in the flow: `edge.publisher` calls `sound` for what `edge.local_alarm` found due.
A sounder never raises: an alarm that cannot be sounded is logged, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from edge.config import HttpAlarm, LocalAlarmSpec, ShellAlarm

if TYPE_CHECKING:
    from edge.local_alarm import Sounding

PATIENCE_S: Final = 10.0
"""A hook that takes longer is ended."""
_log = structlog.get_logger(__name__)


class Sounder(Protocol):
    """Something that can be heard in the place that the box watches."""

    async def sound(self, sounding: Sounding) -> None:
        """Sound the alarm."""

    async def identify(self) -> None:
        """Let an installer find this box."""


def sounder(spec: LocalAlarmSpec) -> Sounder:
    """Build the sounder that the node's file asks for."""
    if isinstance(spec, ShellAlarm):
        return ShellSounder(spec.command)
    if isinstance(spec, HttpAlarm):
        return HttpSounder(spec.url)
    return LogSounder()


class Horn:
    """The box's sounder, which a new config may change while everybody holds on to it."""

    def __init__(self, spec: LocalAlarmSpec) -> None:
        self.use(spec)

    def use(self, spec: LocalAlarmSpec) -> None:
        """Sound like this from now on."""
        self._sounder = sounder(spec)

    async def sound(self, sounding: Sounding) -> None:
        """Sound the alarm."""
        await self._sounder.sound(sounding)

    async def identify(self) -> None:
        """Let an installer find this box."""
        await self._sounder.identify()


class LogSounder:
    """Writes a line; for boxes without a siren, and for the demo."""

    async def sound(self, sounding: Sounding) -> None:
        """Write the alarm as a warning."""
        _log.warning(
            "LOCAL ALARM", device=sounding.device, episode=sounding.episode, silent_s=sounding.silent_s
        )

    async def identify(self) -> None:
        """Write that it is this box."""
        _log.warning("identify: it is this box")


class ShellSounder:
    """Runs a command, for GPIO, a siren's own tool, or a loudspeaker.

    The command gets `alarm DEVICE EPISODE SECONDS` or `identify` as its last arguments.
    """

    def __init__(self, command: list[str]) -> None:
        self._command = command

    async def sound(self, sounding: Sounding) -> None:
        """Run the command with the alarm."""
        await self._run("alarm", sounding.device, sounding.episode, f"{sounding.silent_s:.0f}")

    async def identify(self) -> None:
        """Run the command with `identify`."""
        await self._run("identify")

    async def _run(self, *arguments: str) -> None:
        try:
            process = await asyncio.create_subprocess_exec(*self._command, *arguments)
        except OSError as error:
            _log.error("the local alarm's command cannot be run", command=self._command, why=str(error))
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            status = await process.wait()
        if status:
            _log.error("the local alarm's command failed", command=self._command, status=status)


class HttpSounder:
    """Posts JSON, for a siren or a home hub with a webhook of its own."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def sound(self, sounding: Sounding) -> None:
        """Post the alarm."""
        body = {"alarm": sounding.episode, "device": sounding.device, "silent_s": round(sounding.silent_s, 1)}
        await self._post(body)

    async def identify(self) -> None:
        """Post that an installer looks for this box."""
        await self._post({"identify": True})

    async def _post(self, body: dict[str, object]) -> None:
        request = urllib.request.Request(  # noqa: S310 - the config admits http and https only
            self._url,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            await asyncio.to_thread(_send, request)
        except OSError as error:
            _log.error("the local alarm's address does not answer", url=self._url, why=str(error))


def _send(request: urllib.request.Request) -> None:
    with urllib.request.urlopen(request, timeout=PATIENCE_S):  # noqa: S310 - the config admits http and https only
        pass
