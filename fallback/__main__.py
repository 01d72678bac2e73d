"""The watchdog: `python -m fallback`; and `python -m fallback unlock FILE` for a locked pack.

Everything is built here and passed on.  One loop turns `Watchdog.step`; beside it run the
probes, the robot officer, the notices, the roster, the packs, the other instance and the
exchange with a platform that is back.  Each canary node has its MQTT thread, the page and the
ops server theirs, and packs are made in a process of their own.
"""

from __future__ import annotations

import asyncio
import getpass
import random
import secrets
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx
import structlog

from fallback import (
    configuration,
    lane,
    liaison,
    liveness,
    metrics,
    notify,
    pack,
    papers,
    peers,
    printing,
    probes,
    records,
    snapshot,
    standing,
    store,
)
from fallback.courier import Courier, device_of
from fallback.desk import Desk
from fallback.ears import Ears
from fallback.exercise import Exercise
from fallback.officer import Officer
from fallback.page import Page
from fallback.senses import Noted
from fallback.snapshot import Keeper
from fallback.state import Mode
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
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from datetime import datetime

    from pydantic import SecretStr

    from fallback.papers import Facts

F = TypeVar("F")
STEP_S: Final = 0.25
"""Between two steps of the watchdog."""
CERTIFICATES_S: Final = 3600.0
DISK_S: Final = 30.0
SHOW_EVERY: Final = 20
"""Steps between two settings of the gauges."""
_log = structlog.get_logger(__name__)


class Process:
    """The running watchdog: what waits for the network, around the `Watchdog` that decides."""

    def __init__(self, settings: FallbackSettings) -> None:
        self._settings = settings
        self._places = configuration.places(settings)
        self._library = configuration.library()
        self._zone = configuration.zone(settings)
        self._certificates = configuration.certificates(settings)
        self._standing: standing.Standing | None = None
        self._printed: set[tuple[str, datetime | None]] = set()
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
            port = stack.enter_context(serving(settings.fallback_host, settings.fallback_port, self._app()))
            for courier in self._couriers:
                node = courier.address.node
                stack.enter_context(courier.running(partial(lane.ends, self._store, node)))
            stack.enter_context(self._ears.running())
            plain = await stack.enter_async_context(httpx.AsyncClient())
            liaison_ = await stack.enter_async_context(_client(settings, settings.fallback_roster_token))
            maker = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"), pack.end_with_parent))
            _log.info("the watchdog is up", page=f"http://{settings.fallback_host}:{port}/")
            await run_until_stopped(
                self._turn(officer),
                officer.run(),
                self._probe(plain),
                self._tell(),
                *self._optional(plain, liaison_, maker),
            )

    def _app(self) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
        signer = Signer(store.secret(self._store, "cookie", secrets.token_bytes(32)))
        page = Page(
            self._watchdog,
            self._store,
            utc_now,
            self._zone,
            self._settings.fallback_passphrase,
            signer,
            lambda: self._standing,
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
        return page.app(desk.routes() | exercise.routes())

    def _optional(
        self, plain: httpx.AsyncClient, platform: httpx.AsyncClient, maker: ProcessPoolExecutor
    ) -> list[Coroutine[None, None, None]]:
        """Return the work that the settings ask for."""
        settings = self._settings
        work: list[Coroutine[None, None, None]] = []
        if settings.fallback_roster_key is not None:
            work += [
                _every(snapshot.PERIOD.total_seconds(), partial(self._fetch, platform)),
                _every(liaison.PERIOD.total_seconds(), partial(self._exchange, platform)),
            ]
        if settings.fallback_roster_token is not None:
            judge = standing.Judge([estate.id for estate in self._watchdog.view().estates])
            work.append(_every(standing.PERIOD_S, partial(self._ask, platform, judge)))
        if self._certificates:
            work.append(_every(CERTIFICATES_S, self._look_at_certificates))
        work.append(_every(DISK_S, self._look_at_disk))
        if self._places:
            work.append(_every(STEP_S * 4, partial(self._pack, maker)))
        if settings.fallback_printer is not None:
            work.append(_every(STEP_S * 4, partial(self._print, maker, settings.fallback_printer)))
        if settings.fallback_peer is not None:
            peer = peers.Peer(settings.fallback_peer)
            work.append(_every(liveness.PERIOD.total_seconds(), partial(self._look_at_peer, peer, plain)))
        if settings.fallback_heartbeat is not None:
            work.append(_every(peers.HEARTBEAT_S, partial(self._beat, plain, settings.fallback_heartbeat)))
        return work

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
        facts, self._facts = self._facts, []
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

    # -- beside it -----------------------------------------------------------------------

    def _note(self, code: str, wrong: str | None) -> None:
        self._facts.append(Noted(code, wrong, utc_now()))

    async def _fetch(self, client: httpx.AsyncClient) -> None:
        try:
            await self._keeper.fetch(client, utc_now())
        except (Unavailable, Rejected) as error:
            _log.warning("no roster", error=str(error))
        self._note("roster", self._keeper.old(utc_now()))

    async def _pack(self, maker: ProcessPoolExecutor) -> None:
        """Write the packs that are due: while all is well, and with a roster that is no old one."""
        roster, now = self._keeper.roster, utc_now()
        if roster is None or self._keeper.old(now) is not None:
            return
        for estate in self._watchdog.view().estates:
            if pack.wanted(estate.verdict) and records.pack_due(self._store, estate.id, now - pack.PERIOD):
                facts = pack.facts_of(
                    roster, estate.id, estate.unprotected, self._library, self._zone, utc_now()
                )
                await self._write(maker, estate.id, facts)

    async def _write(self, maker: ProcessPoolExecutor, estate: str, facts: Facts) -> None:
        passphrase = self._settings.fallback_passphrase
        assert passphrase is not None  # noqa: S101 - `configuration.places` has seen to it
        signing = store.secret(self._store, "signing", secrets.token_bytes(32))
        folders = [place / estate for place in self._places]
        words = passphrase.get_secret_value()
        loop = asyncio.get_running_loop()
        written, wrong = await loop.run_in_executor(maker, pack.build, facts, words, signing, folders)
        with self._store.transaction() as connection:
            records.keep_pack(connection, estate, facts.made_at, facts.roster_at, written)
        self._note("pack", "; ".join(wrong) or None)

    async def _print(self, maker: ProcessPoolExecutor, printer: str) -> None:
        """Print the pack of an estate whose fallback was declared, once; not for a drill."""
        roster, loop = self._keeper.roster, asyncio.get_running_loop()
        for estate in self._watchdog.view().estates:
            verdict = estate.verdict
            declared = (estate.id, verdict.declared_at)
            if (
                roster is None
                or verdict.mode is not Mode.FALLBACK
                or verdict.drill
                or declared in self._printed
            ):
                continue
            self._printed.add(declared)
            facts = pack.facts_of(roster, estate.id, estate.unprotected, self._library, self._zone, utc_now())
            try:
                paper = await loop.run_in_executor(maker, papers.pdf, facts, "")
                await asyncio.to_thread(printing.send, paper, printer, f"vigil-{facts.number}")
            except Unavailable as error:
                self._note("printer", str(error))
            else:
                self._note("printer", None)

    async def _look_at_peer(self, peer: peers.Peer, client: httpx.AsyncClient) -> None:
        mine = {estate.id: estate.verdict.mode for estate in self._watchdog.view().estates}
        self._note("peer", await peer.look(client, mine))

    async def _beat(self, client: httpx.AsyncClient, url: SecretStr) -> None:
        self._note("heartbeat", await peers.beat(client, url.get_secret_value()))

    async def _ask(self, client: httpx.AsyncClient, judge: standing.Judge) -> None:
        try:
            said = await standing.ask(client)
        except Unavailable as error:
            _log.info("the platform does not say how it stands", error=str(error))
        else:
            self._standing = said
            self._facts += judge.notes(said, utc_now())

    async def _look_at_certificates(self) -> None:
        wrong = []
        for host, port in self._certificates:
            try:
                ends = await probes.expires(host, port)
            except Unavailable as error:
                _log.info("no certificate", error=str(error))
            else:
                if ends - utc_now() < probes.EXPIRES:
                    wrong.append(f"{host}:{port} {ends:%Y-%m-%d}")
        self._note("tls", ", ".join(wrong) or None)

    async def _look_at_disk(self) -> None:
        folders = [self._settings.fallback_state.parent, *self._places]
        free = {folder: probes.free_mb(folder) for folder in folders}
        low = [f"{folder.name or folder}: {mb:.0f} MB" for folder, mb in free.items() if mb < probes.LOW_MB]
        self._note("disk", ", ".join(low) or None)

    async def _exchange(self, client: httpx.AsyncClient) -> None:
        for estate in self._watchdog.view().estates:
            since = self._watchdog.owed_since(estate.id)
            if since is None:
                continue
            residents = {resident.id for resident in self._watchdog.residents(estate.id)}
            try:
                await liaison.exchange(client, self._store, estate.id, residents, since)
            except Unavailable as error:
                _log.info("no exchange", estate=estate.id, error=str(error))

    def _canary_trouble(self) -> str | None:
        away = [courier.address.node for courier in self._couriers if not courier.connected]
        return f"not connected to MQTT: {', '.join(away)}" if away else None


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Unavailable as error:
            _log.error("the watchdog cannot remember", error=str(error))
        await asyncio.sleep(seconds)


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
        case _:
            raise Stop("usage: python -m fallback, or python -m fallback unlock FILE")


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
