"""Writes the fallback pack to its places every five minutes, while all is well.

Place in the flow: `snapshot` keeps the roster, `papers` makes the pages, this encrypts, signs
and writes; the page gives the latest out.  A pack is written beside the old one and renamed,
so that a crash, a full disk or a pulled stick leaves the last good one.

Both files open with the estate's passphrase: the PDF in any reader, the CSV with
`python -m fallback unlock` (scrypt, AES-256-GCM).  `.sig` beside each holds its signature.
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing import parent_process
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fallback import papers
from fallback.rounds import Task
from fallback.state import Mode
from vigil.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import tzinfo
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from fallback.procedures import Procedure
    from fallback.state import Verdict
    from vigil.roster import Roster

PERIOD: Final = timedelta(minutes=5)
PLACES: Final = 2
"""Places that a pack must be written to, at least."""
_MAGIC: Final = b"VIGIL1"


@dataclass(frozen=True, slots=True)
class Written:
    """A file of a pack, where it now is."""

    path: Path
    sha256: str


class Seal(msgspec.Struct, frozen=True):
    """The signature of a file, and what it says of the file."""

    file: str
    sha256: str
    made_at: datetime
    roster_at: datetime
    signature: str = ""


def facts_of(
    roster: Roster,
    estate: str,
    unprotected: Mapping[str, datetime],
    procedures: Sequence[Procedure],
    zone: tzinfo,
    now: datetime,
    *,
    drill: bool = False,
) -> papers.Facts:
    """Return what an estate's pack is made of.

    Args:
        roster: The last good one.
        estate: Which estate.
        unprotected: Residents without protection, and since when.
        procedures: All of them.
        zone: For the times that people read.
        now: Present time; the pack's number counts minutes, so that it grows.
        drill: Whether it is printed for practice.
    """
    residents = [resident for resident in roster.residents if resident.estate == estate]
    tasks = [Task(each, unprotected.get(each.id, now), now, 0, None) for each in residents]
    staff = [each for each in roster.staff if "*" in each.estates or estate in each.estates]
    return papers.Facts(
        estate=roster.estates.get(estate, estate),
        number=int(now.timestamp() // 60) % 10_000_000,
        made_at=now,
        roster_at=roster.made_at,
        zone=zone,
        tasks=tasks,
        staff=staff,
        procedures=procedures,
        drill=drill,
    )


def wanted(verdict: Verdict) -> bool:
    """Whether packs are written: while all is well enough, and while people only practise."""
    return verdict.mode in (Mode.NORMAL, Mode.DEGRADED) or verdict.drill


def make(facts: papers.Facts, passphrase: str, salt: bytes) -> dict[str, bytes]:
    """Return the files of a pack, encrypted, by name.

    Args:
        facts: What goes in.
        passphrase: Opens them.
        salt: 28 random bytes.
    """
    name = f"vigil-{facts.number}"
    return {
        f"{name}.pdf": papers.pdf(facts, passphrase),
        f"{name}.csv.vigil": lock(papers.sheet(facts), passphrase, salt),
    }


def lock(plain: bytes, passphrase: str, salt: bytes) -> bytes:
    """Encrypt bytes with a passphrase."""
    return _MAGIC + salt + AESGCM(_key(passphrase, salt[:16])).encrypt(salt[16:28], plain, _MAGIC)


def unlock(locked: bytes, passphrase: str) -> bytes:
    """Return what was locked.

    Raises:
        Rejected: `malformed`, or `refused`: another passphrase, or changed bytes.
    """
    if not locked.startswith(_MAGIC) or len(locked) < len(_MAGIC) + 28 + 16:
        raise Rejected("malformed", "this is no locked file of a fallback pack")
    salt, body = locked[6:34], locked[34:]
    try:
        return AESGCM(_key(passphrase, salt[:16])).decrypt(salt[16:28], body, _MAGIC)
    except InvalidTag:
        raise Rejected("refused", "the passphrase is another, or the file was changed") from None


def _key(passphrase: str, salt: bytes) -> bytes:
    # 2**15 takes 0.1 s and 32 MB: slow for who guesses, nothing for who opens one file.
    return Scrypt(salt, 32, 2**15, 8, 1).derive(passphrase.encode())


def seal(name: str, content: bytes, facts: papers.Facts, key: Ed25519PrivateKey) -> bytes:
    """Return the contents of a file's `.sig`."""
    plain = Seal(name, hashlib.sha256(content).hexdigest(), facts.made_at, facts.roster_at)
    signature = base64.b64encode(key.sign(msgspec.json.encode(plain))).decode()
    return msgspec.json.encode(msgspec.structs.replace(plain, signature=signature))


def check_seal(name: str, content: bytes, sealed: bytes, key: Ed25519PublicKey) -> Seal:
    """Check a file against its `.sig`.

    Raises:
        Rejected: `forged`; it is another file, or another hand.
    """
    try:
        found = msgspec.json.decode(sealed, type=Seal)
        plain = msgspec.structs.replace(found, signature="")
        key.verify(base64.b64decode(found.signature), msgspec.json.encode(plain))
    except (msgspec.DecodeError, ValueError, InvalidSignature):
        raise Rejected("forged", f"{name} was not sealed by this watchdog") from None
    if (found.file, found.sha256) != (name, hashlib.sha256(content).hexdigest()):
        raise Rejected("forged", f"{name} is not the file that was sealed")
    return found


def write(place: Path, files: dict[str, bytes], keep: int = 3) -> list[Written]:
    """Write a pack's files into a place, and drop all but the latest packs there.

    Raises:
        OSError: The place cannot be written; what was there before is untouched.
    """
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = []
    for name, content in files.items():
        path = place / name
        partial = path.with_suffix(path.suffix + ".part")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        written.append(Written(path, hashlib.sha256(content).hexdigest()))
    _drop_old(place, keep)
    return written


def _drop_old(place: Path, keep: int) -> None:
    packs = sorted(place.glob("vigil-*.pdf"), key=_number)
    for old in packs[:-keep]:
        for path in place.glob(f"{old.stem}.*"):
            path.unlink(missing_ok=True)


def _number(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def end_with_parent() -> None:
    """Let the process that makes packs end when the watchdog does, also by SIGKILL."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_wait_and_end, args=(parent,), name="parent", daemon=True).start()


def _wait_and_end(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def build(
    facts: papers.Facts,
    passphrase: str,
    signing: bytes,
    places: Sequence[Path],
) -> tuple[list[Written], list[str]]:
    """Make a pack and write it to every place; runs in a process of its own.

    Args:
        facts: What goes in.
        passphrase: Opens the files.
        signing: The watchdog's private key, raw.
        places: Folders.

    Returns:
        What was written, and for each place that failed, why.
    """
    files = make(facts, passphrase, os.urandom(28))
    key = Ed25519PrivateKey.from_private_bytes(signing)
    sealed = {f"{name}.sig": seal(name, content, facts, key) for name, content in files.items()}
    written: list[Written] = []
    wrong = []
    for place in places:
        try:
            written += write(place, files | sealed)
        except OSError as error:
            wrong.append(f"{place.name}: {error.strerror}")
    return written, wrong
