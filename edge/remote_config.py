"""The node's config as the platform may change it: checked, applied without a restart, kept.

Place in the flow: `edge.orders` hands over what comes on `config`.  A config is taken when
it is newer than the present one, is about this node, and its sources can be built; else
the present one stays and the reply says why.  What was taken is kept beside the spool, so
that a restart finds it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import structlog

from edge import config
from vigil.errors import Misconfigured, Rejected
from vigil.events import Reply, encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from edge.config import Node

_log = structlog.get_logger(__name__)


class RemoteConfig:
    """Keeps the node's config, and changes it.

    Attributes:
        node: The present one.
    """

    def __init__(self, file: Path, kept: Path, apply: Callable[[Node], Awaitable[None]]) -> None:
        """Read the installer's file and the platform's last config; the newer one counts.

        Args:
            file: The installer's.
            kept: Where the platform's is kept.
            apply: Puts a config into effect.

        Raises:
            Misconfigured: The installer's file is missing or wrong.
        """
        self._file, self._kept, self._apply = file, kept, apply
        self.node = self._newest()

    async def take(self, payload: bytes) -> Reply:
        """Take a config from the platform, and say what became of it."""
        try:
            node = config.parse(payload)
        except Rejected as error:
            return Reply(to="config", accepted=False, reason=error.detail)
        name = f"config-{node.version}"
        try:
            self._check(node)
            await self._change(node)
        except Rejected as error:
            _log.warning("the platform's config was refused", version=node.version, why=error.detail)
            return Reply(to=name, accepted=False, reason=error.detail)
        return Reply(to=name, accepted=True)

    async def reload(self) -> None:
        """Read the files again and apply what they say.

        Raises:
            Rejected: `bad_config`; the present one stays.
        """
        try:
            await self._change(self._newest())
        except Misconfigured as error:
            raise Rejected("bad_config", str(error)) from error

    def _newest(self) -> Node:
        installed = config.read(self._file)
        if not self._kept.exists():
            return installed
        try:
            kept = config.parse(self._kept.read_bytes())
        except Rejected as error:
            _log.error("the kept config is damaged and set aside", why=error.detail)
            self._kept.rename(self._kept.with_suffix(".damaged"))
            return installed
        return kept if kept.version > installed.version and kept.address == installed.address else installed

    def _check(self, node: Node) -> None:
        if node.address != self.node.address:
            raise Rejected(
                "bad_config", f"it is about {node.address.source}, this is {self.node.address.source}"
            )
        if node.version < self.node.version:
            raise Rejected("bad_config", f"version {node.version} is older than {self.node.version}")

    async def _change(self, node: Node) -> None:
        """Apply, go back where that fails, and keep what holds."""
        if node == self.node:
            return
        before = self.node
        try:
            await self._apply(node)
        except Exception as error:
            # Whatever a source trips over: the config is retained, and would end every start.
            await self._apply(before)
            raise Rejected("bad_config", f"cannot be put into effect: {error}") from error
        self.node = node
        if node.version > 0:
            _keep(self._kept, msgspec.json.format(encode(node)))
        _log.info("a new config is in effect", version=node.version)


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
