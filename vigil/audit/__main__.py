"""`python -m vigil.audit verify`: whether anybody has touched the record of what people did.

    python -m vigil.audit verify --key KEY [--checkpoints FILE]

KEY is the public key (32 bytes in base64, or a file that holds it); FILE holds the checkpoints that the
watchdog kept (`python -m fallback checkpoints`), one JSON object a line.  Without FILE those
beside the log are used, which whoever can cut off the log's end can cut off with it.

Ends with 0 if nothing was found, 1 if something was, 2 if it could not look.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vigil.audit.chain import Checkpoint, Finding, Verifier, trusted
from vigil.errors import Rejected, Stop, Unavailable
from vigil.roster import read_public_key
from vigil.settings import StoreSettings, load
from vigil.store import audit
from vigil.store.pool import open_pool

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from vigil.store.pool import Connection


def read_key(text: str) -> Ed25519PublicKey:
    """Read a public key from a file or from the command line.

    Raises:
        Rejected: `malformed`.
    """
    return read_public_key(Path(text).read_text().strip() if Path(text).is_file() else text)


def read_checkpoints(path: Path) -> list[Checkpoint]:
    """Read what the watchdog kept.

    Raises:
        Rejected: `malformed`, with the line.
        OSError: The file cannot be read.
    """
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            found.append(msgspec.json.decode(line, type=Checkpoint))
        except msgspec.DecodeError as error:
            raise Rejected("malformed", f"{path.name}, line {number} is no checkpoint: {error}") from None
    return found


async def verify(
    connection: Connection, key: Ed25519PublicKey, checkpoints: list[Checkpoint]
) -> tuple[int, list[Finding]]:
    """Walk along the chain; return how long it is and everything that is wrong."""
    good, found = trusted(checkpoints, key)
    verifier = Verifier(good)
    async for link in audit.links(connection):
        found += verifier.follow(link)
    found += verifier.end()
    for seq, table, gone in await audit.unlike(connection):
        says = f"the row of {table} that entry {seq} tells of {'is gone' if gone else 'was changed since'}"
        found.append(Finding("source", seq, says))
    return verifier.head.seq, found


async def _run(arguments: argparse.Namespace) -> int:
    key, kept = read_key(arguments.key), arguments.checkpoints
    async with (
        open_pool(load(StoreSettings).database_dsn, "audit", 1) as pool,
        pool.connection() as connection,
    ):
        checkpoints = read_checkpoints(kept) if kept else await audit.checkpoints(connection)
        length, found = await verify(connection, key, checkpoints)
    for finding in found:
        print(f"BAD {finding.says}")
    last = max((checkpoint.at for checkpoint in checkpoints), default=None)
    signed = f"last signed {last:%Y-%m-%d %H:%M:%S} UTC" if last else "never signed: its end proves nothing"
    print(f"{length} entries, {len(checkpoints)} checkpoints, {signed}: {len(found) or 'nothing'} wrong")
    return 1 if found else 0


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m vigil.audit", description=__doc__)
    command = parser.add_subparsers(required=True).add_parser("verify")
    command.add_argument("--key", required=True)
    command.add_argument("--checkpoints", type=Path)
    try:
        return asyncio.run(_run(parser.parse_args()))
    except (Stop, Rejected, Unavailable, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
