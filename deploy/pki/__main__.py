"""`python -m deploy.pki`: the authority of a community, as files in one folder.

Place in the flow: run by whoever sets up the platform.  `api.claims` signs boxes with the same
two files (`VIGIL_API_DEVICE_CA`) and keeps who has what in the database; this is for the
authority itself, the servers' certificates, and boxes of a site without the platform's API.

    init NAME              make the authority: ca.pem (give it to everybody), ca.key (keep it)
    server HOST [HOST...]  make server.pem and server.key for the broker
    frames                 make frames.key, which boxes seal frames as evidence to; without it there are none
    sign NODE REQUEST      sign a box's request; the certificate goes to the terminal
    revoke CERTIFICATE     enter a box's certificate among the revoked, and write crl.pem
    crl                    write crl.pem anew; a broker refuses everybody when it is older than 30 days
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vigil import evidence, pki
from vigil.clock import utc_now
from vigil.errors import Rejected, Stop
from vigil.pki import Revoked

if TYPE_CHECKING:
    from collections.abc import Sequence

SECRET: Final = 0o600
PUBLIC: Final = 0o644


class Folder:
    """An authority's files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def init(self, name: str, now: datetime) -> None:
        """Make an authority.

        Raises:
            Stop: There is one already: with it every box would be shut out.
        """
        if (self.path / "ca.key").exists():
            raise Stop(f"{self.path} holds an authority already")
        self.path.mkdir(parents=True, exist_ok=True)
        made = pki.new_authority(name, now)
        self._write("ca.key", pki.key_pem(made.key), SECRET)
        self._write("ca.pem", made.pem, PUBLIC)
        self.write_list(now)

    def server(self, hosts: Sequence[str], now: datetime) -> None:
        """Make a server's key and certificate."""
        key = pki.new_key()
        self._write("server.key", pki.key_pem(key), SECRET)
        self._write("server.pem", pki.sign_server(self._authority(), key, hosts, now).pem, PUBLIC)

    def frames(self) -> None:
        """Make the key that frames as evidence are sealed to.

        Raises:
            Stop: There is one already: with another, nobody could look at what was sealed to it.
        """
        if (self.path / "frames.key").exists():
            raise Stop(f"{self.path} holds a key for frames already")
        self._write("frames.key", evidence.key_pem(evidence.new_key()), SECRET)

    def sign(self, node: str, asked: bytes, now: datetime) -> bytes:
        """Sign a box's request."""
        return pki.sign_box(self._authority(), asked, node, now).pem

    def revoke(self, certificate: bytes, now: datetime) -> None:
        """Enter a certificate among the revoked."""
        found = pki.read_certificate(certificate)
        with (self.path / "revoked").open("a", encoding="ascii") as file:
            file.write(f"{pki.serial_of(found)} {now.isoformat()} {pki.common_name(found)}\n")
        self.write_list(now)

    def write_list(self, now: datetime) -> None:
        """Write the list of the revoked."""
        listed = pki.revocation_list(self._authority(), _entries(self.path / "revoked"), now)
        self._write("crl.pem", listed, PUBLIC)

    def _authority(self) -> pki.Authority:
        try:
            certificate, key = ((self.path / name).read_bytes() for name in ("ca.pem", "ca.key"))
        except OSError as error:
            raise Stop(f"{error.filename}: {error.strerror}; make an authority with `init` first") from None
        return pki.read_authority(certificate, key)

    def _write(self, name: str, content: bytes, mode: int) -> None:
        """Put a file in place at once, so that a broker never reads half of one."""
        fresh = self.path / f"{name}.new"
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self.path / name)


def _entries(path: Path) -> list[Revoked]:
    if not path.exists():
        return []
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip())
    return [Revoked(serial, datetime.fromisoformat(at).astimezone(UTC), node) for serial, at, node in lines]


def main(arguments: Sequence[str], now: datetime) -> int:
    """Carry out a command; return the exit status."""
    chosen = _parser().parse_args(arguments)
    folder = Folder(chosen.folder)
    try:
        match chosen.command:
            case "init":
                folder.init(chosen.name, now)
            case "server":
                folder.server(chosen.hosts, now)
            case "frames":
                folder.frames()
            case "sign":
                sys.stdout.write(folder.sign(chosen.node, chosen.request.read_bytes(), now).decode())
            case "revoke":
                folder.revoke(chosen.certificate.read_bytes(), now)
            case _:
                folder.write_list(now)
    except (Stop, Rejected, OSError) as error:
        print(f"pki: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy.pki", description="A community's certificate authority.")
    parser.add_argument("--folder", type=Path, default=Path("/etc/vigil/pki"), help="its files (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("name")
    commands.add_parser("server").add_argument("hosts", nargs="+")
    commands.add_parser("frames")
    sign = commands.add_parser("sign")
    sign.add_argument("node")
    sign.add_argument("request", type=Path)
    commands.add_parser("revoke").add_argument("certificate", type=Path)
    commands.add_parser("crl")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], utc_now()))
