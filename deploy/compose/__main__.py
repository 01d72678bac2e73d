"""`python -m deploy.compose COMMUNITY HOST...`: make what a site needs before compose can start.

Place in the flow: run once by whoever installs; `deploy/compose.yaml` mounts what is made here, each
service its own folder.  HOST is every name and address by which boxes reach the broker.  What is there
already stays: with another authority every box would be shut out.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.pki.__main__ import Folder
from vigil.clock import utc_now
from vigil.errors import Rejected, Stop
from vigil.topics import Address, Kind, parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

HERE: Final = Path(__file__).parent
ACCESS: Final = HERE.parent / "mosquitto/acl.template"
USERS: Final = ("ingest", "fallback", "metrics", "revoker")
"""Of the broker: the platform's own; boxes have certificates."""
PLATFORM, BROKER, DATABASE, GRAFANA = 10001, 1883, 70, 472
"""Users of the images; each reads its own folder, and nobody else does."""
ROUNDS: Final = 101
"""Of PBKDF2 in mosquitto's file; the passwords have 190 bits, so that no number of rounds matters."""
_OWNERS: Final = {"mosquitto": BROKER, "database": DATABASE, "grafana": GRAFANA}


def hashed(user: str, password: str, salt: bytes) -> str:
    """Return a line of mosquitto's file of passwords."""
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS)
    return f"{user}:$7${ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


class Site:
    """The folder of a site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, community: str, hosts: Sequence[str], now: datetime) -> None:
        """Make everything that is not there yet.

        Raises:
            Stop: The community's id is none, or the folder cannot be written.
        """
        try:
            parse(Address(community, "estate", "node").topic(Kind.STATE))
        except Rejected as error:
            raise Stop(f"{community!r} is no id: {error.detail}") from None
        self._broker(community, hosts, now)
        self._database()
        self._keep("api/vigil_api_secret", secrets.token_urlsafe(32))
        self._keep(
            "api/roster.key", base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()
        )
        self._keep("fallback/vigil_fallback_passphrase", secrets.token_urlsafe(15))
        self._keep("grafana/grafana_password", secrets.token_urlsafe(15))
        for name in ("processors", "ingest"):
            (self.folder / "secrets" / name).mkdir(parents=True, exist_ok=True)
        self._give()

    def _broker(self, community: str, hosts: Sequence[str], now: datetime) -> None:
        passwords = {user: secrets.token_urlsafe(24) for user in USERS}
        passwords |= {u: self._keep(f"{u}/vigil_mqtt_password", passwords[u]) for u in ("ingest", "fallback")}
        lines = [hashed(user, password, secrets.token_bytes(12)) for user, password in passwords.items()]
        self._write(self.folder / "mosquitto/passwords", "\n".join([*lines, ""]))
        access = ACCESS.read_text(encoding="utf-8").replace("@COMMUNITY@", community)
        self._write(self.folder / "mosquitto/acl", access)
        authority = Folder(self.folder / "secrets/api/ca")
        if not (authority.path / "ca.key").exists():
            authority.init(f"Vigil {community}", now)
            authority.server(hosts, now)
        for name in ("ca.pem", "crl.pem", "server.pem", "server.key"):
            self._write(self.folder / "mosquitto" / name, (authority.path / name).read_text(encoding="ascii"))

    def _database(self) -> None:
        self._keep("database/postgres_password", secrets.token_urlsafe(24))
        owner = self._keep("database/owner_password", secrets.token_urlsafe(24))
        backup = self._keep("database/backup_password", secrets.token_urlsafe(24))
        self._keep("owner/vigil_database_dsn", f"postgresql://vigil:{owner}@database:5432/vigil")
        self._keep("backup/vigil_backup_dsn", f"postgresql://vigil_backup:{backup}@database:5432/vigil")

    def _keep(self, name: str, fresh: str) -> str:
        """Return a secret that is there, or make it this one."""
        path = self.folder / "secrets" / name
        if not path.exists():
            self._write(path, fresh)
        return path.read_text(encoding="ascii")

    @staticmethod
    def _write(path: Path, content: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(content)

    def _give(self) -> None:
        """Give each folder to the user of the image that reads it (as root; else that is left to do)."""
        (self.folder / "secrets").chmod(0o711)
        with suppress(PermissionError):
            os.chown(self.folder / "secrets", PLATFORM, PLATFORM)
            for folder in (self.folder / "mosquitto", *(self.folder / "secrets").iterdir()):
                owner = _OWNERS.get(folder.name, PLATFORM)
                for path in (folder, *folder.rglob("*")):
                    os.chown(path, owner, owner)


def main(arguments: Sequence[str]) -> int:
    """Make a site; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.compose", description=__doc__)
    parser.add_argument("community")
    parser.add_argument("host", nargs="+")
    parser.add_argument("--site", type=Path, default=HERE / "site")
    chosen = parser.parse_args(arguments)
    try:
        Site(chosen.site).make(chosen.community, chosen.host, utc_now())
    except (Stop, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{chosen.site} is made; keep {chosen.site}/secrets/api/ca in a second place")
    print("the watchdog's two tokens come from the API, later: docs/howto/compose.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
