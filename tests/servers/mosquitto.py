"""mosquitto with the configuration that we ship (`deploy/mosquitto`)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from deploy.embedded.servers import HOST, ServerError, ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHIPPED: Final = Path(__file__).parents[2] / "deploy/mosquitto"
INSTALL: Final = "mosquitto is not installed (apt-get install mosquitto)"


def program() -> str | None:
    """Return the broker's path if it is installed; Debian's folder is not in everybody's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/local/sbin:/usr/sbin")


def missing() -> str | None:
    """Return what this machine lacks for it, or None."""
    return None if program() else INSTALL


class Mosquitto(ServerProcess):
    """A broker on the loopback; it keeps what it saved in the last five seconds.

    Without users anybody may say and hear anything, as with the embedded broker: a test of the
    platform plays many nodes at once, and the access list has tests of its own.
    """

    name: ClassVar[str] = "mosquitto"

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        users: Mapping[str, str] | None = None,
        community: str = "c1",
        pki: Path | None = None,
    ) -> None:
        """Name its folder, its port (0: a free one), and who may use it.

        Args:
            folder: Configuration, persistence and log.
            port: Kept over restarts.
            users: Passwords; the shipped access list is in force then.
            community: Whose broker this is, for that list.
            pki: Folder of an authority (`deploy.pki`); the boxes' TLS listener is open then.
        """
        super().__init__(folder, port)
        self._pki = pki
        self.tls_port = free_port() if pki else 0
        self._users = users
        self._community = community

    def said(self) -> str:
        """Return everything that it logged."""
        return self.log.read_text(errors="replace")

    def _prepare(self) -> Sequence[str]:
        path = program()
        if path is None:
            raise ServerError(self.name, INSTALL)
        text = self._on_this_site((SHIPPED / "mosquitto.conf").read_text())
        if self._users is None:
            text = re.sub(r"^(password_file|acl_file) .*$", "", text, flags=re.MULTILINE)
            text = text.replace("allow_anonymous false", "allow_anonymous true")
        else:
            self._admit(self._users)
        if self._pki is not None:
            text += self._for_boxes(self._pki)
        config = self.folder / "mosquitto.conf"
        # Root's broker would become the user `mosquitto`, who cannot write into our folder.
        config.write_text(text + "\nuser root\n")
        return [path, "-c", str(config)]

    def _on_this_site(self, text: str) -> str:
        """Replace the lines in which one site differs from another."""
        site = {
            "listener": f"{self.port} {HOST}",
            "persistence_location": f"{self.folder}/",
            "password_file": str(self.folder / "passwords"),
            "acl_file": str(self.folder / "acl"),
        }
        for option, value in site.items():
            text, count = re.subn(rf"^{option} .*$", f"{option} {value}", text, flags=re.MULTILINE)
            if count != 1:
                raise ServerError(self.name, f"{option} stands {count} times in mosquitto.conf, not once")
        return text

    def _for_boxes(self, pki: Path) -> str:
        """Return the shipped TLS listener with this machine's port and files."""
        text = (
            (SHIPPED / "boxes.conf").read_text().replace("listener 8883", f"listener {self.tls_port} {HOST}")
        )
        return "\n" + text.replace("/etc/mosquitto/", f"{pki}/")

    def _admit(self, users: Mapping[str, str]) -> None:
        acl = (SHIPPED / "acl.template").read_text().replace("@COMMUNITY@", self._community)
        (self.folder / "acl").write_text(acl)
        passwords = self.folder / "passwords"
        passwords.write_text("".join(f"{user}:{password}\n" for user, password in users.items()))
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
