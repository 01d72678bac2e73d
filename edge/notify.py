"""Tells systemd that the process is ready and alive (sd_notify(3)); elsewhere it does nothing.

Place in the flow: `edge.box` is ready when it runs, and alive while its publisher makes
rounds; a box whose loop hangs is started again by `deploy/systemd/vigil-edge.service`.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

READY = b"READY=1"
ALIVE = b"WATCHDOG=1"
STOPPING = b"STOPPING=1"


class Notify:
    """The socket that systemd names in the environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of Linux's abstract names.
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def say(self, what: bytes) -> None:
        """Tell systemd; that it does not listen is no reason to stop."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(what, self._address)
