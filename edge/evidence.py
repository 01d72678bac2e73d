"""A frame as evidence: off unless the installer and every resident concerned have said yes.

Place in the flow: beside it.  `edge.camera` offers the frame of a suspected fall; with a permit of
the platform (`api.evidence`, by its register of consents) it is blurred (`edge.disclosure`),
sealed to the platform's key (`vigil.evidence`) and handed over by the box's own request over
HTTPS, signed by the key of its certificate.  Never over MQTT.

Rules
-----
1. Without a permit in force no frame is made.  A permit is asked for every `ASK_EVERY`, is good for
   an hour, and is not kept across a start.
2. What lies on the disk is sealed: the box itself cannot open it.
3. A frame ends when the platform has it or refuses it, and after `KEPT` in any case; there are
   never more than `MOST`.
4. Nothing here may hold an alarm up: what goes wrong costs the frame, and is logged.
"""

from __future__ import annotations

import asyncio
import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import cv2
import msgspec
import structlog
from prometheus_client import Counter

from edge.claim import Identity, Platform
from edge.disclosure import disclosed
from vigil import evidence, pki
from vigil.errors import Misconfigured, Rejected, Stop, Unavailable
from vigil.evidence import Asked, Permit, Shown, Signed, Taken

if TYPE_CHECKING:
    from pathlib import Path

    from edge.camera import Shot
    from edge.reading import Put
    from vigil.clock import Clock

EVERY_S: Final = 10.0
ASK_EVERY: Final = timedelta(seconds=40)
"""How long a box that is reached may not know that a consent has been withdrawn, beside `EVERY_S`: a minute
at most was promised.  The platform knows at once."""
KEPT: Final = timedelta(hours=24)
"""A case is closed by then; what could not be handed over is of no use to anybody."""
MOST: Final = 20
T = TypeVar("T")
_log = structlog.get_logger(__name__)
frames_total = Counter(
    "vigil_edge_evidence_frames_total", "Frames as evidence, by what became of them.", ["outcome"]
)


class Evidence:
    """Makes frames, keeps them for a while, and hands them over; runs like a source."""

    def __init__(self, identity: Identity, folder: Path, utc: Clock) -> None:
        """Prepare; nothing is asked for yet.

        Args:
            identity: Who this box is.
            folder: Where sealed frames wait.
            utc: The wall clock.

        Raises:
            Misconfigured: The box was never claimed, so that the platform does not know it.
        """
        claimed = identity.claimed()
        if claimed is None:
            raise Misconfigured(
                "VIGIL_EDGE_CONFIG", "evidence_frames need a claimed box: run `python -m edge claim` first"
            )
        self._identity, self._folder, self._utc = identity, folder, utc
        self._node = claimed.node
        self._platform = Platform(claimed.url, claimed.ca)
        self._permit: Permit | None = None
        self._asked: datetime | None = None

    def offer(self, shot: Shot) -> None:
        """Make a frame of a shot, where that is permitted; called in the cameras' thread."""
        permit = self._permit
        if permit is None or not permit.allows(shot.device, self._utc()):
            return
        try:
            self._keep(shot, permit)
        except (OSError, Rejected, cv2.error) as error:
            frames_total.labels("failed").inc()
            _log.error("no frame as evidence was made", device=shot.device, why=str(error))

    async def run(self, _put: Put) -> None:
        """Ask for permits and hand frames over, for ever."""
        while True:
            await asyncio.to_thread(self.step)
            await asyncio.sleep(EVERY_S)

    def step(self) -> None:
        """Ask for a permit if it is time, forget what is too old, and hand over what waits."""
        now = self._utc()
        if self._asked is None or now - self._asked >= ASK_EVERY:
            self._asked = now
            self._ask(now)
        for path in self._waiting():
            self._hand_over(path, now)

    def _ask(self, now: datetime) -> None:
        try:
            self._permit = self._said("/api/v1/evidence/permits", Asked(at=now), Permit)
        except Unavailable as error:
            _log.info("no answer about frames as evidence; the present permit ends by itself", why=str(error))
        except (Stop, Rejected, OSError) as error:
            self._permit = None
            _log.warning("no frames as evidence", why=str(error))

    def _keep(self, shot: Shot, permit: Permit) -> None:
        picture = disclosed(shot.frame, shot.joints)
        if picture is None:
            frames_total.labels("nobody_in_sight").inc()
            return
        about = evidence.facts(self._node, shot.device, shot.episode, shot.at)
        sealed = evidence.seal(permit.seal_to, picture, about)
        if len(sealed) > evidence.LARGEST:
            raise Rejected("oversize", f"{len(sealed)} bytes")
        shown = Shown(device=shot.device, episode=shot.episode, taken_at=shot.at, sealed=sealed)
        self._write(f"{evidence.frame_id(self._node, shown)}.frame", msgspec.json.encode(shown))
        frames_total.labels("made").inc()

    def _hand_over(self, path: Path, now: datetime) -> None:
        """Hand a frame over; it is gone from here unless the platform does not answer."""
        try:
            outcome = self._handed(path, now)
        except Unavailable as error:
            _log.info("a frame waits for the platform", why=str(error))
            return
        except (Stop, Rejected, msgspec.DecodeError, OSError) as error:
            outcome = "refused"
            _log.warning("a frame as evidence was dropped", frame=path.stem, why=str(error))
        frames_total.labels(outcome).inc()
        path.unlink(missing_ok=True)

    def _handed(self, path: Path, now: datetime) -> str:
        shown = msgspec.json.decode(path.read_bytes(), type=Shown)
        if now - shown.taken_at >= KEPT:
            return "expired"
        self._said("/api/v1/evidence/frames", shown, Taken)
        return "sent"

    def _said(self, path: str, statement: Asked | Shown, shape: type[T]) -> T:
        """Post a statement, signed by the key of the box's certificate as it is now.

        Raises:
            Stop, Unavailable: As `Platform.post`.
            OSError: The box's own files cannot be read.
        """
        text = msgspec.json.encode(statement)
        key = pki.read_key(self._identity.pem.read_bytes())
        signed = Signed(
            certificate=self._identity.certificate().decode(),
            statement=text.decode(),
            proof=pki.proof(key, text),
        )
        return self._platform.post(path, msgspec.json.encode(signed), shape)

    def _waiting(self) -> list[Path]:
        """Return what waits, oldest first; beyond `MOST` the oldest are given up."""
        found = sorted(self._folder.glob("*.frame"), key=lambda path: (path.stat().st_mtime_ns, path.name))
        for path in found[:-MOST]:
            path.unlink(missing_ok=True)
            frames_total.labels("too_many").inc()
        return found[-MOST:]

    def _write(self, name: str, content: bytes) -> None:
        """Put a file in place at once, for this user alone."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._folder / f"{name}.new"
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        fresh.rename(self._folder / name)
