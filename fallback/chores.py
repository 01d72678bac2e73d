"""What the watchdog does beside watching: roster, packs, printing, and looks that are not urgent.

Place in the flow: `__main__` builds it and runs its tasks; what is wrong goes to `watchdog` as
notes.  Nothing here may end the watching: whatever fails is noted, and tried again.
"""

from __future__ import annotations

import asyncio
import secrets
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from fallback import (
    checkpoints,
    configuration,
    liaison,
    liveness,
    metrics,
    monitoring,
    pack,
    papers,
    peers,
    printing,
    probes,
    records,
)
from fallback import snapshot as snapshots
from fallback import standing as standings
from fallback import store as memory
from fallback.senses import Noted
from fallback.state import Mode
from vigil.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from datetime import datetime, tzinfo
    from types import TracebackType
    from typing import Self

    import httpx
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from fallback.papers import Facts
    from fallback.procedures import Procedure
    from fallback.snapshot import Keeper
    from fallback.standing import Judge, Standing
    from fallback.store import Store
    from fallback.watchdog import EstateView, Fact, Watchdog
    from vigil.clock import Clock
    from vigil.settings import FallbackSettings

R = TypeVar("R")
DUE_S: Final = 1.0
"""Between two looks whether a pack is due, or a fallback is to be printed."""
CERTIFICATES_S: Final = 3600.0
DISK_S: Final = 30.0
_log = structlog.get_logger(__name__)


class Maker:
    """A process of its own that makes papers, so that fonts and scrypt never hold the watching up."""

    def __init__(self) -> None:
        self._pool = self._new()

    def __enter__(self) -> Self:
        """Have it ready; it starts with the first paper."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._pool.shutdown(cancel_futures=True)

    @staticmethod
    def _new() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, get_context("spawn"), pack.end_with_parent)

    async def make(self, work: Callable[..., R], *arguments: object) -> R:
        """Run a function there.

        Raises:
            Unavailable: The process was killed; the next call has a new one.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        except BrokenProcessPool as error:
            self._pool = self._new()
            raise Unavailable("the process that makes papers", error) from None


class Chores:
    """The tasks.

    Args:
        settings: Say which of them are wanted.
        store: The watchdog's memory.
        watchdog: Whose estates they are about.
        keeper: Holds the roster.
        library: The procedures, for the packs.
        zone: For the times that people read.
        facts: Take the notes.
        now: The clock.

    Attributes:
        standing: What the platform said last of itself, or None.
    """

    def __init__(
        self,
        settings: FallbackSettings,
        store: Store,
        watchdog: Watchdog,
        keeper: Keeper,
        library: Sequence[Procedure],
        zone: tzinfo,
        facts: list[Fact],
        now: Clock,
    ) -> None:
        self.standing: Standing | None = None
        self._settings = settings
        self._store = store
        self._watchdog = watchdog
        self._keeper = keeper
        self._library = library
        self._zone = zone
        self._facts = facts
        self._now = now
        self._places = configuration.places(settings)
        self._certificates = configuration.certificates(settings)
        self._printed: set[tuple[str, datetime | None]] = set()

    def tasks(
        self,
        plain: httpx.AsyncClient,
        platform: httpx.AsyncClient,
        maker: Maker,
        end_drills: Callable[[datetime], None],
    ) -> list[Coroutine[None, None, None]]:
        """Return the tasks that the settings ask for.

        Args:
            plain: Asks whoever is not the platform.
            platform: Asks the platform's API, with the watchdog's token.
            maker: Makes papers.
            end_drills: Ends the drills whose time is over.
        """
        drills = self._every(liaison.DRILLS_S, "drills", partial(self._drills, platform, end_drills))
        return [*self._asking(platform), *self._papers(maker), *self._looking(plain), drills]

    def _asking(self, platform: httpx.AsyncClient) -> list[Coroutine[None, None, None]]:
        settings, tasks = self._settings, []
        if (key := configuration.roster_key(settings)) is not None:
            fetch, exchange = partial(self._fetch, platform), partial(self._exchange, platform)
            tasks.append(self._every(snapshots.PERIOD.total_seconds(), "roster", fetch))
            tasks.append(self._every(liaison.PERIOD.total_seconds(), "exchange", exchange))
            tasks.append(self._every(checkpoints.PERIOD_S, "audit", partial(self._keep_audit, platform, key)))
        if settings.fallback_roster_token is not None:
            judge = standings.Judge([estate.id for estate in self._watchdog.view().estates])
            tasks.append(self._every(standings.PERIOD_S, "standing", partial(self._ask, platform, judge)))
        return tasks

    def _papers(self, maker: Maker) -> list[Coroutine[None, None, None]]:
        tasks, printer = [], self._settings.fallback_printer
        if self._places:
            tasks.append(self._every(DUE_S, "pack", partial(self._pack, maker)))
        if printer is not None:
            tasks.append(self._every(DUE_S, "printer", partial(self._print, maker, printer)))
        return tasks

    def _looking(self, plain: httpx.AsyncClient) -> list[Coroutine[None, None, None]]:
        settings = self._settings
        tasks = [self._every(DISK_S, "disk", self._look_at_disk)]
        if self._certificates:
            tasks.append(self._every(CERTIFICATES_S, "tls", self._look_at_certificates))
        if settings.fallback_peer is not None:
            look = partial(self._look_at_peer, peers.Peer(settings.fallback_peer), plain)
            tasks.append(self._every(liveness.PERIOD.total_seconds(), "peer", look))
        if settings.fallback_alertmanager is not None:
            look_at = partial(self._look_at_monitoring, plain, settings.fallback_alertmanager)
            tasks.append(self._every(monitoring.EVERY_S, "monitoring", look_at))
        if settings.fallback_heartbeat is not None:
            beat = partial(self._beat, plain, settings.fallback_heartbeat.get_secret_value())
            tasks.append(self._every(peers.HEARTBEAT_S, "heartbeat", beat))
        return tasks

    async def _every(self, seconds: float, code: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - whatever fails here, the watching goes on
                _log.error("a task beside the watching failed", task=code, error=repr(error))
                self._note(code, f"{type(error).__name__}: {error}")
            await asyncio.sleep(seconds)

    def _note(self, code: str, wrong: str | None) -> None:
        self._facts.append(Noted(code, wrong, self._now()))

    # -- asking the platform -------------------------------------------------------------

    async def _fetch(self, client: httpx.AsyncClient) -> None:
        try:
            await self._keeper.fetch(client, self._now())
        except (Unavailable, Rejected) as error:
            _log.warning("no roster", error=str(error))
        self._note("roster", self._keeper.old(self._now()))

    async def _keep_audit(self, client: httpx.AsyncClient, key: Ed25519PublicKey) -> None:
        try:
            self._note("audit", await checkpoints.look(client, self._store, key))
        except Unavailable as error:
            _log.info("no signature under the audit log", error=str(error))

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
        self._note("exchange", None)

    async def _ask(self, client: httpx.AsyncClient, judge: Judge) -> None:
        try:
            said = await standings.ask(client)
        except Unavailable as error:
            _log.info("the platform does not say how it stands", error=str(error))
            return
        self.standing = said
        self._facts += judge.notes(said, self._now())
        self._note("standing", None)

    async def _drills(self, client: httpx.AsyncClient, end_drills: Callable[[datetime], None]) -> None:
        end_drills(self._now())
        instance = memory.secret(self._store, "instance", secrets.token_hex(4).encode()).decode()
        if self._settings.fallback_roster_token is not None:
            try:
                await liaison.tell_drills(client, self._store, f"watchdog-{instance}")
            except Unavailable as error:
                _log.info("the platform does not hear of a drill", error=str(error))
        self._note("drills", None)

    # -- papers --------------------------------------------------------------------------

    async def _pack(self, maker: Maker) -> None:
        """Write the packs that are due: while all is well, and with a roster that is no old one."""
        if self._keeper.old(self._now()) is not None:
            return
        for estate in self._watchdog.view().estates:
            due = records.pack_due(self._store, estate.id, self._now() - pack.PERIOD)
            if due and pack.wanted(estate.verdict):
                await self._write(maker, estate.id, self._paper(estate))

    async def _write(self, maker: Maker, estate: str, facts: Facts) -> None:
        passphrase = self._settings.fallback_passphrase
        assert passphrase is not None  # noqa: S101 - `configuration.places` has seen to it
        signing = memory.secret(self._store, "signing", secrets.token_bytes(32))
        folders = [place / estate for place in self._places]
        written, wrong = await maker.make(pack.build, facts, passphrase.get_secret_value(), signing, folders)
        with self._store.transaction() as connection:
            records.keep_pack(connection, estate, facts.made_at, facts.roster_at, written)
        metrics.packed.labels(estate).set(facts.made_at.timestamp())
        self._note("pack", "; ".join(wrong) or None)

    async def _print(self, maker: Maker, printer: str) -> None:
        """Print the pack of an estate whose fallback was declared, once; not for a drill."""
        if self._keeper.roster is None:
            return
        for estate in self._watchdog.view().estates:
            declared = (estate.id, estate.verdict.declared_at)
            earnest = estate.verdict.mode is Mode.FALLBACK and not estate.verdict.drill
            if earnest and declared not in self._printed:
                self._printed.add(declared)
                facts = self._paper(estate)
                paper = await maker.make(papers.pdf, facts, "")
                await asyncio.to_thread(printing.send, paper, printer, f"vigil-{facts.number}")
                self._note("printer", None)

    def _paper(self, estate: EstateView) -> Facts:
        roster = self._keeper.roster
        assert roster is not None  # noqa: S101 - both callers have looked
        return pack.facts_of(roster, estate.id, estate.unprotected, self._library, self._zone, self._now())

    # -- looking -------------------------------------------------------------------------

    async def _look_at_disk(self) -> None:
        folders = [self._settings.fallback_state.parent, *self._places]
        free = {folder: probes.free_mb(folder) for folder in folders}
        low = [f"{folder.name or folder}: {mb:.0f} MB" for folder, mb in free.items() if mb < probes.LOW_MB]
        self._note("disk", ", ".join(low) or None)

    async def _look_at_certificates(self) -> None:
        wrong = []
        for host, port in self._certificates:
            try:
                ends = await probes.expires(host, port)
            except Unavailable as error:
                _log.info("no certificate", error=str(error))
            else:
                if ends - self._now() < probes.EXPIRES:
                    wrong.append(f"{host}:{port} {ends:%Y-%m-%d}")
        self._note("tls", ", ".join(wrong) or None)

    async def _look_at_peer(self, peer: peers.Peer, client: httpx.AsyncClient) -> None:
        mine = {estate.id: estate.verdict.mode for estate in self._watchdog.view().estates}
        self._note("peer", await peer.look(client, mine))

    async def _look_at_monitoring(self, client: httpx.AsyncClient, alertmanager: str) -> None:
        self._note("monitoring", await monitoring.look(client, alertmanager, self._now()))

    async def _beat(self, client: httpx.AsyncClient, url: str) -> None:
        self._note("heartbeat", await peers.beat(client, url))
