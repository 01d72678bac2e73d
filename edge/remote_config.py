"""What the platform decides about the box, laid over the installer's file: checked, applied, kept.

Place in the flow: `edge.orders` hands over what comes on `config` (`vigil.boxconfig` says what may
stand there).  What was taken is kept beside the spool, so that a restart finds it.

Rules
-----
1. A document is taken when it is about this node, is newer than the present one, fits the file's
   devices, and its sources can be built; else the present one stays and the reply says why.
2. The same document again changes nothing and is answered again: the first answer may be lost.
3. What the register of consents forbids (`without`, `held`) is taken from every newer document about
   this node, also from one that is refused otherwise; until a whole one is taken it only grows.
4. Nobody to ask changes nothing: what was known last holds, for as long as it takes (decision 0031).
5. A file of the installer's that the kept document no longer fits counts without its settings, and
   with its restrictions.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from edge import config
from vigil import boxconfig
from vigil.boxconfig import Settings, Without
from vigil.errors import Misconfigured, Rejected
from vigil.events import Has, Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from edge.config import Node
    from vigil.boxconfig import Restrictions

_log = structlog.get_logger(__name__)


class Kept(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What lies beside the spool.

    Attributes:
        document: The last one that was taken, byte for byte; empty before the first.
        besides: What later ones, refused, have forbidden besides.
    """

    document: str = ""
    besides: Without = {}


class Decided(Struct, frozen=True):
    """What the platform has decided, as far as it was taken."""

    kept: Kept = Kept()
    version: int = 0
    digest: str = ""
    settings: Settings = Settings()
    without: Without = {}


class RemoteConfig:
    """Keeps the node's config, and changes it.

    Attributes:
        node: The installer's file and what the platform has decided, together.
        without: Device -> purposes that it may not be used for.
    """

    def __init__(self, file: Path, kept: Path, apply: Callable[[Node], Awaitable[None]]) -> None:
        """Read the installer's file and the platform's last document.

        Args:
            file: The installer's.
            kept: Where the platform's is kept.
            apply: Puts a config into effect.

        Raises:
            Misconfigured: The installer's file is missing or wrong.
        """
        self._file, self._kept, self._apply = file, kept, apply
        self._installed = config.read(file)
        self._decided = self._fitting(self._read())
        self.node = self._merged(self._decided)

    @property
    def without(self) -> Without:
        """What devices may not be used for."""
        return self._decided.without

    @property
    def off(self) -> list[str]:
        """Devices that are switched off."""
        return config.off(self._installed, self._decided.settings, self._decided.without)

    async def take(self, payload: bytes) -> Reply:
        """Take a document from the platform, and say what became of it."""
        try:
            asked = boxconfig.restrictions(payload)
        except Rejected as error:
            return self._refused("config", error)
        name = f"config-{asked.version}"
        try:
            if self._is_new(asked, payload):
                await self._take_new(asked, payload)
        except Rejected as error:
            return self._refused(name, error)
        return Reply(to=name, accepted=True, has=self._has())

    async def reload(self) -> None:
        """Read the installer's file again and apply what it says.

        Raises:
            Rejected: `bad_config`; the present one stays.
        """
        before = self._installed
        try:
            self._installed = config.read(self._file)
            decided = self._fitting(self._decided)
            await self._change(decided, self._merged(decided), self._decided)
        except Misconfigured as error:
            raise Rejected("bad_config", str(error)) from error
        except Rejected:
            self._installed = before
            raise

    def _refused(self, name: str, error: Rejected) -> Reply:
        _log.warning("the platform's config was refused", config=name, why=error.detail)
        return Reply(to=name, accepted=False, reason=error.detail, has=self._has())

    def _has(self) -> Has:
        decided = self._decided
        return Has(version=decided.version, digest=decided.digest, without=decided.without, off=self.off)

    def _is_new(self, asked: Restrictions, payload: bytes) -> bool:
        """Return whether a document is another than the present one.

        Raises:
            Rejected: It is not this node's, or not newer.
        """
        have = self._decided
        if asked.address != self._installed.address:
            here = self._installed.address.source
            raise Rejected("bad_config", f"it is about {asked.address.source}, this is {here}")
        if asked.version < have.version:
            raise Rejected("bad_config", f"version {asked.version} is older than {have.version}")
        if asked.version == have.version and boxconfig.digest(payload) != have.digest:
            raise Rejected("bad_config", f"this box has another version {asked.version}")
        return asked.version > have.version

    async def _take_new(self, asked: Restrictions, payload: bytes) -> None:
        """Apply a newer document; where it cannot be, apply what it forbids all the same."""
        forbidden = boxconfig.joined(self._decided.kept.besides, asked.without, asked.held)
        kept = replace(self._decided.kept, besides=forbidden)
        without = boxconfig.joined(self._decided.without, forbidden)
        at_least = replace(self._decided, kept=kept, without=without)
        try:
            wanted = _decided(Kept(payload.decode()))
            node = self._merged(wanted)
        except Rejected:
            await self._fall_back(at_least)
            raise
        await self._change(wanted, node, at_least)

    async def _change(self, decided: Decided, node: Node, at_least: Decided) -> None:
        """Apply and keep; where that fails, apply `at_least`.

        Raises:
            Rejected: `bad_config`; `at_least` holds.
        """
        try:
            if node != self.node:
                await self._apply(node)
        except Exception as error:
            # Whatever a source trips over: the document is retained, and would end every start.
            await self._fall_back(at_least, touched=True)
            raise Rejected("bad_config", f"cannot be put into effect: {error}") from error
        self._settle(decided, node)

    async def _fall_back(self, decided: Decided, *, touched: bool = False) -> None:
        """Apply what holds in any case; what cannot be started again of it stays down, and is logged."""
        node = self._merged(decided)
        if touched or node != self.node:
            try:
                await self._apply(node)
            except Exception:  # noqa: BLE001 - what is forbidden stays off, whatever the rest does
                _log.exception("the present config cannot be put into effect again")
        self._settle(decided, node)

    def _settle(self, decided: Decided, node: Node) -> None:
        if decided.kept != self._decided.kept:
            _keep(self._kept, msgspec.json.encode(decided.kept))
        self.node, self._decided = node, decided
        _log.info("a config is in effect", version=decided.version, off=self.off)

    def _merged(self, decided: Decided) -> Node:
        return config.merged(self._installed, decided.settings, decided.without)

    def _fitting(self, decided: Decided) -> Decided:
        """Return what was decided; without its settings where the installer's file no longer fits them."""
        try:
            self._merged(decided)
        except Rejected as error:
            _log.error("the platform's settings do not fit the installer's file", why=error.detail)
            return replace(decided, version=0, digest="", settings=Settings())
        return decided

    def _read(self) -> Decided:
        if not self._kept.exists():
            return Decided()
        try:
            kept = msgspec.json.decode(self._kept.read_bytes(), type=Kept)
            decided = _decided(kept)
        except (Rejected, msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.error("the kept config is damaged and set aside", why=str(error))
            self._kept.rename(self._kept.with_suffix(".damaged"))
            return Decided()
        about = boxconfig.restrictions(kept.document.encode()).address if kept.document else None
        return decided if about in (None, self._installed.address) else Decided()


def _decided(kept: Kept) -> Decided:
    """Return what kept bytes say.

    Raises:
        Rejected: `bad_config`.
    """
    if not kept.document:
        return Decided(kept, without=boxconfig.joined(kept.besides))
    raw = kept.document.encode()
    document = boxconfig.decode(raw)
    without = boxconfig.joined(document.without, document.held, kept.besides)
    return Decided(kept, document.version, boxconfig.digest(raw), document.settings, without)


def _keep(path: Path, raw: bytes) -> None:
    """Write a file so that after a crash there is either the old or the new one."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
