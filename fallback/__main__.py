"""The watchdog: `python -m fallback`.  Everything is built here and passed on.

One loop turns `Watchdog.step`; beside it run the probes, the robot officer and the notices;
each canary node has its MQTT thread, the page and the ops server theirs.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import httpx
import structlog

from fallback import configuration, lane, liveness, metrics, notify, probes, store
from fallback.courier import Courier, device_of
from fallback.officer import Officer
from fallback.page import Page
from fallback.store import Store
from fallback.watchdog import Fact, Watchdog
from fallback.web import Signer, serving
from vigil.clock import utc_now
from vigil.errors import Stop, Unavailable
from vigil.runtime import run_until_stopped
from vigil.settings import FallbackSettings, load
from vigil.telemetry import configure_logging, ops_server

if TYPE_CHECKING:
    from collections import deque

F = TypeVar("F")
STEP_S: Final = 0.25
"""Between two steps of the watchdog."""
_log = structlog.get_logger(__name__)


class Process:
    """The running watchdog: what waits for the network, around the `Watchdog` that decides."""

    def __init__(self, settings: FallbackSettings) -> None:
        self._settings = settings
        self._store = Store(settings.fallback_state)
        self._probed: list[probes.Looked] = []
        estates = configuration.canaries(settings)
        zone = configuration.zone(settings)
        self._processes = configuration.processes(settings)
        self._watchdog = Watchdog(self._store, estates, self._processes, _token, zone, utc_now())
        signer = Signer(store.secret(self._store, "cookie", secrets.token_bytes(32)))
        self._page = Page(self._watchdog, self._store, utc_now, zone, settings.fallback_passphrase, signer)
        nodes = [node for group in estates.values() for node in group]
        self._couriers = [Courier(settings, node, utc_now, _token()) for node in nodes]
        urls = settings.fallback_notify.get_secret_value().split()
        self._notifier = notify.AppriseNotifier(urls) if urls else notify.LogNotifier()

    async def run(self) -> None:
        """Watch until told to stop."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            stack.callback(self._store.close)
            client = await stack.enter_async_context(_client(settings))
            officer = Officer(client, utc_now, self._watchdog.canary_of)
            checks = {"canaries": self._canary_trouble, "stream": lambda: officer.trouble}
            stack.enter_context(ops_server(settings.ops_host, settings.ops_port, checks))
            port = stack.enter_context(
                serving(settings.fallback_host, settings.fallback_port, self._page.app())
            )
            for courier in self._couriers:
                node = courier.address.node
                stack.enter_context(courier.running(partial(lane.ends, self._store, node)))
            prober = await stack.enter_async_context(httpx.AsyncClient())
            _log.info("the watchdog is up", page=f"http://{settings.fallback_host}:{port}/")
            await run_until_stopped(self._turn(officer), officer.run(), self._probe(prober), self._tell())

    async def _turn(self, officer: Officer) -> None:
        while True:
            try:
                facts = [*self._drained(officer)]
                self._watchdog.step(utc_now(), facts)
                self._send()
                metrics.show(self._watchdog.view())
            except Unavailable as error:
                _log.error("the watchdog cannot remember", error=str(error))
            await asyncio.sleep(STEP_S)

    def _drained(self, officer: Officer) -> list[Fact]:
        probed, self._probed = self._probed, []
        carried = [fact for courier in self._couriers for fact in _emptied(courier.facts)]
        passed = _emptied(officer.facts)
        return [*probed, *carried, *passed]

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
            self._probed += await probes.look(client, urls, utc_now())
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


def _client(settings: FallbackSettings) -> httpx.AsyncClient:
    token = settings.fallback_token
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    return httpx.AsyncClient(base_url=settings.fallback_api, headers=headers)


def _token() -> str:
    return secrets.token_hex(4)


def main() -> int:
    """Run the process; an error that ends it is one line."""
    try:
        settings = load(FallbackSettings)
        configure_logging("fallback", settings.log_format, settings.log_level)
        configuration.check_page(settings)
        asyncio.run(Process(settings).run())
    except Stop as error:
        print(f"fallback: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
