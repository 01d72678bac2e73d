"""`python -m deploy.pki.revoked URL`: shut revoked boxes out of this broker, those connected too.

Place in the flow: on the broker's host, by `deploy/systemd/vigil-revoked.timer`; `api.claims` gives
the list, `vigil.pki` signs it.  A broker that reads the list anew asks it at the next handshake
only; who is connected stays.  So each box that is newly listed is connected for, under its own
client id: the broker ends the connection that it has under that name (MQTT 3.1.1, 3.1.4-2), and
the box, which comes back at once, meets the list.  The others notice nothing.

The user for it (`VIGIL_MQTT_USERNAME`) may say and hear nothing; its listener is the loopback's,
where a client may choose its id.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vigil import mqtt, pki
from vigil.clock import utc_now
from vigil.errors import Rejected, Stop
from vigil.settings import MqttSettings, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from vigil.pki import Listed

PATIENCE_S: Final = 10.0
LARGEST: Final = 16 << 20
REWRITE_AFTER: Final = timedelta(days=1)
"""A list says until when it is good: it is put in place anew in time, also when nobody was revoked."""
TAKES_S: Final = 2.0
"""Until a broker that was told to has read the list."""


class Broker:
    """The broker's side: its list, and who is connected."""

    def __init__(self, folder: Path, reload: Sequence[str], shut_out: Callable[[str], None]) -> None:
        """Take note.

        Args:
            folder: Where `ca.pem` and `crl.pem` are.
            reload: The command that has the broker read them.
            shut_out: Ends the connection of a node.
        """
        self._folder, self._reload, self._shut_out = folder, reload, shut_out

    def apply(self, pem: bytes, now: datetime) -> list[str]:
        """Put a list in place, and shut out who is newly on it; return these nodes.

        What fails in between is done by the next call.

        Raises:
            Rejected: The list is not of this broker's authority, or not good now.
        """
        listed = pki.read_list((self._folder / "ca.pem").read_bytes(), pem, now)
        changed = self._differs(listed, now)
        if changed:
            _write(self._folder / "crl.pem", pem)
            subprocess.run(self._reload, check=True)  # noqa: S603 - the administrator's own command
        done = self._read("crl.applied", now)
        fresh = sorted({box.node for box in listed.boxes if box not in done} - {""})
        if fresh and changed:
            time.sleep(TAKES_S)
        for node in fresh:
            self._shut_out(node)
        if changed or fresh:
            _write(self._folder / "crl.applied", pem)
        return fresh

    def _differs(self, listed: Listed, now: datetime) -> bool:
        try:
            present = pki.read_list((self._folder / "ca.pem").read_bytes(), self._bytes("crl.pem"), now)
        except (OSError, Rejected):
            return True
        return present.boxes != listed.boxes or listed.made_at - present.made_at >= REWRITE_AFTER

    def _read(self, name: str, now: datetime) -> frozenset[pki.Revoked]:
        try:
            return pki.read_list((self._folder / "ca.pem").read_bytes(), self._bytes(name), now).boxes
        except (OSError, Rejected):
            return frozenset()

    def _bytes(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()


def shut_out(settings: MqttSettings, node: str) -> None:
    """End a node's connection by connecting under its client id, and leave at once.

    Its session is taken over, not ended: what waits for a box that was claimed anew stays.

    Raises:
        Stop: The broker does not let us in.
    """
    answered = threading.Event()
    reasons: list[str] = []

    def on_connect(_c: object, _u: object, _f: object, reason: object, _p: object) -> None:
        reasons.append(str(reason))
        answered.set()

    client = mqtt.client(settings, node, window=1)
    client.on_connect = mqtt.guarded(on_connect)
    mqtt.connect(client, settings, window=1)
    client.loop_start()
    try:
        if not answered.wait(PATIENCE_S) or reasons[0] != "Success":
            raise Stop(f"the broker does not let us in as {node}: {', '.join(reasons) or 'no answer'}")
    finally:
        client.disconnect()
        client.loop_stop()


def fetched(url: str) -> bytes:
    """Return the platform's list.

    Raises:
        Stop: It is not reached.
    """
    if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise Stop(f"{url} is no https:// address")
    try:
        address = f"{url.rstrip('/')}/api/v1/claims/revoked"
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:  # noqa: S310 - checked above
            return bytes(answer.read(LARGEST))
    except OSError as error:
        raise Stop(f"the platform at {url} does not answer: {error}") from None


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.chmod(0o644)
    fresh.rename(path)


def main(arguments: Sequence[str], now: datetime) -> int:
    """Fetch and apply once; return the exit status."""
    parser = argparse.ArgumentParser(prog="deploy.pki.revoked", description="Shut revoked boxes out.")
    parser.add_argument("url", help="the platform's address, https://...")
    parser.add_argument("--folder", type=Path, default=Path("/etc/mosquitto"), help="%(default)s")
    parser.add_argument("--reload", default="systemctl reload mosquitto", help="%(default)s")
    chosen = parser.parse_args(arguments)
    try:
        settings = load(MqttSettings)
        broker = Broker(chosen.folder, chosen.reload.split(), lambda node: shut_out(settings, node))
        for node in broker.apply(fetched(chosen.url), now):
            sys.stdout.write(f"revoked: {node} is shut out\n")
    except (Stop, Rejected, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"revoked: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], utc_now()))
