"""The watchdog: `python -m fallback`.

`python -m fallback unlock FILE` opens a locked pack; `python -m fallback checkpoints` writes the
signatures under the platform's audit log.

Everything is built here and passed on.  One loop turns `Watchdog.step`; beside it run the
probes, the robot officer, the notices, and the `chores`: roster, packs, printing, the other
instance, the exchange with a platform that is back.  Each canary node has its MQTT thread, the
page and the ops server theirs, and packs are made in a process of their own.
"""

from __future__ import annotations

import asyncio
import getpass
import random
import secrets
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx
import msgspec
import structlog

from fallback import (
    checkpoints,
    configuration,
    lane,
    liveness,
    metrics,
    notify,
    pack,
    probes,
    store,
)
from fallback.chores import Chores, Maker
from fallback.courier import Courier, device_of
from fallback.desk import Desk
from fallback.ears import Ears
from fallback.exercise import Exercise
from fallback.officer import Officer
from fallback.page import Page
from fallback.snapshot import Keeper
from fallback.store import Store
from fallback.watchdog import Fact, Watchdog
from fallback.web import Signer, serving
from vigil.clock import utc_now
from vigil.errors import Rejected, Stop, Unavailable
from vigil.runtime import run_until_stopped
from vigil.settings import FallbackSettings, load
from vigil.telemetry import configure_logging, ops_server

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterable

    from pydantic import SecretStr


F = TypeVar("F")
STEP_S: Final = 0.25
"""Between two steps of the watchdog."""
SHOW_EVERY: Final = 20
"""Steps between two settings of the gauges."""
_log = structlog.get_logger(__name__)


class Process:
    """The running watchdog: what waits for the network, around the `Watchdog` that decides."""

    def __init__(self, settings: FallbackSettings) -> None:
        self._settings = settings
        self._library = configuration.library()
        self._zone = configuration.zone(settings)
        self._store = Store(settings.fallback_state)
        self._facts: list[Fact] = []
        self._keeper = Keeper(self._store, configuration.roster_key(settings))
        estates = configuration.canaries(settings)
        self._processes = configuration.processes(settings)
        self._watchdog = Watchdog(
            self._store,
            estates,
            self._processes,
            _token,
            self._zone,
            utc_now(),
            lambda: self._keeper.roster,
            timedelta(seconds=settings.fallback_canary_good_s),
        )
        self._chores = Chores(
            settings,
            self._store,
            self._watchdog,
            self._keeper,
            self._library,
            self._zone,
            self._facts,
            utc_now,
        )
        nodes = [node for group in estates.values() for node in group]
        self._couriers = [Courier(settings, node, utc_now, _token()) for node in nodes]
        self._ears = Ears(settings, sorted({node.community for node in nodes}), utc_now, _token())
        urls = settings.fallback_notify.get_secret_value().split()
        self._notifier = notify.AppriseNotifier(urls) if urls else notify.LogNotifier()

    async def run(self) -> None:
        """Watch until told to stop."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            stack.callback(self._store.close)
            client = await stack.enter_async_context(_client(settings, settings.fallback_token))
            officer = Officer(client, utc_now, self._watchdog.canary_of)
            checks = {"canaries": self._canary_trouble, "stream": lambda: officer.trouble}
            stack.enter_context(ops_server(settings.ops_host, settings.ops_port, checks))
            app, exercise = self._app()
            port = stack.enter_context(serving(settings.fallback_host, settings.fallback_port, app))
            for courier in self._couriers:
                node = courier.address.node
                stack.enter_context(courier.running(partial(lane.ends, self._store, node)))
            stack.enter_context(self._ears.running())
            plain = await stack.enter_async_context(httpx.AsyncClient())
            platform = await stack.enter_async_context(_client(settings, settings.fallback_roster_token))
            maker = stack.enter_context(Maker())
            _log.info("the watchdog is up", page=f"http://{settings.fallback_host}:{port}/")
            await run_until_stopped(
                self._turn(officer),
                officer.run(),
                self._probe(plain),
                self._tell(),
                *self._chores.tasks(plain, platform, maker, exercise.end_overdue),
            )

    def _app(self) -> tuple[Callable[[dict[str, Any], Any], Iterable[bytes]], Exercise]:
        signer = Signer(store.secret(self._store, "cookie", secrets.token_bytes(32)))
        page = Page(
            self._watchdog,
            self._store,
            utc_now,
            self._zone,
            self._settings.fallback_passphrase,
            signer,
            lambda: self._chores.standing,
        )
        desk = Desk(
            self._watchdog,
            self._store,
            self._keeper,
            self._library,
            utc_now,
            self._zone,
            page.show,
            self._settings.fallback_printer,
        )
        exercise = Exercise(self._watchdog, self._store, self._library, utc_now, self._zone, page.show)
        return page.app(desk.routes() | exercise.routes()), exercise

    # -- watching ------------------------------------------------------------------------

    async def _turn(self, officer: Officer) -> None:
        steps = 0
        while True:
            try:
                self._watchdog.step(utc_now(), self._drained(officer))
                self._send()
                if steps % SHOW_EVERY == 0:
                    metrics.show(self._watchdog.view())
            except Unavailable as error:
                _log.error("the watchdog cannot remember", error=str(error))
            steps += 1
            await asyncio.sleep(STEP_S)

    def _drained(self, officer: Officer) -> list[Fact]:
        facts = self._facts.copy()
        self._facts.clear()  # the same list: whoever brings facts holds it
        carried = [fact for courier in self._couriers for fact in _emptied(courier.facts)]
        heard = _emptied(self._ears.facts)
        passed = _emptied(officer.facts)
        return [*facts, *carried, *heard, *passed]

    def _send(self) -> None:
        for courier in self._couriers:
            if not courier.connected:
                continue
            for row in lane.due(self._store, courier.address.node, utc_now()):
                device = device_of(courier.address)
                if courier.send(str(row.envelope.id), device, lane.payload(row, utc_now())):
                    with self._store.transaction() as connection:
                        lane.sent(connection, row, utc_now(), random.uniform)

    async def _probe(self, client: httpx.AsyncClient) -> None:
        urls = [process.url for process in self._processes]
        while True:
            begun = asyncio.get_running_loop().time()
            self._facts += await probes.look(client, urls, utc_now())
            spent = asyncio.get_running_loop().time() - begun
            await asyncio.sleep(max(0.0, liveness.PERIOD.total_seconds() - spent))

    async def _tell(self) -> None:
        while True:
            try:
                worked = await notify.deliver(self._store, self._notifier, utc_now)
            except Unavailable as error:
                _log.error("the outbox cannot be read", error=str(error))
                worked = False
            if not worked:
                await asyncio.sleep(STEP_S)

    def _canary_trouble(self) -> str | None:
        away = [courier.address.node for courier in self._couriers if not courier.connected]
        return f"not connected to MQTT: {', '.join(away)}" if away else None


def _emptied(queue: deque[F]) -> list[F]:
    # Other threads append meanwhile: what is there now, and no more.
    return [queue.popleft() for _ in range(len(queue))]


def _client(settings: FallbackSettings, token: SecretStr | None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    return httpx.AsyncClient(base_url=settings.fallback_api, headers=headers)


def _token() -> str:
    return secrets.token_hex(4)


def unlock(path: Path, passphrase: str) -> None:
    """Write what a locked file of a pack holds to standard output."""
    sys.stdout.buffer.write(pack.unlock(path.read_bytes(), passphrase))


def write_checkpoints(state: Path) -> None:
    """Write the kept signatures under the audit log to standard output, a JSON object a line."""
    for checkpoint in checkpoints.kept(Store(state)):
        print(msgspec.json.encode(checkpoint).decode())


def command(arguments: list[str]) -> None:
    """Run the process, or the command that stands on the line.

    Raises:
        Stop: There is no such command, or the process cannot go on.
    """
    match arguments:
        case []:
            settings = load(FallbackSettings)
            configure_logging("fallback", settings.log_format, settings.log_level)
            configuration.check_page(settings)
            asyncio.run(Process(settings).run())
        case ["unlock", file]:
            unlock(Path(file), getpass.getpass("passphrase: "))
        case ["checkpoints"]:
            write_checkpoints(load(FallbackSettings).fallback_state)
        case _:
            raise Stop("usage: python -m fallback [unlock FILE | checkpoints]")


def main() -> int:
    """Run; an error that ends it is one line."""
    try:
        command(sys.argv[1:])
    except (Stop, Rejected, OSError) as error:
        print(f"fallback: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
