"""What is in a Debian package of a part: its control file, its scripts and its files; pure.

The package brings wheels, not a virtual environment: that is made on the host, by the host's Python, in
/opt/vigil, without any network.  `postinst` heeds DPKG_ROOT, so that it can be installed into a folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from deploy.packages.closure import PARTS
from deploy.processes.table import PROCESSES, Place

if TYPE_CHECKING:
    from collections.abc import Mapping

WHEELS: Final = "usr/share/vigil/wheelhouse"
UNITS: Final = "usr/lib/systemd/system"
_PLACES: Final = {"platform": Place.PLATFORM, "fallback": Place.OUTSIDE, "edge": Place.BOX}
_MORE: Final = {
    "platform": ("vigil-migrate.service", "vigil-base.service", "vigil-base.timer", "vigil.target"),
    "fallback": (),
    "edge": ("vigil-renew.service", "vigil-renew.timer", "vigil-renewed.path", "vigil-renewed.service"),
}
_MEANS: Final = {
    "platform": "the platform of a community: ingest, processors, console, backups",
    "fallback": "the watchdog, for a host of its own",
    "edge": "an edge box: cameras, wearables, sensors",
}
_BRINGS: Final = {"edge": "bluez, ", "platform": "postgresql-client, ", "fallback": ""}


def units(part: str) -> list[str]:
    """Return the names of a part's units."""
    own = [f"vigil-{process.name}.service" for process in PROCESSES if process.place is _PLACES[part]]
    return [*own, *_MORE[part]]


def control(part: str, version: str, architecture: str) -> str:
    """Return the control file."""
    others = ", ".join(f"vigil-{other}" for other in PARTS if other != part)
    return (
        f"Package: vigil-{part}\nVersion: {version}\nArchitecture: {architecture}\n"
        "Maintainer: Vigil <vigil@example.org>\nSection: net\nPriority: optional\n"
        "Depends: python3 (>= 3.11), python3-venv, adduser\n"
        f"Recommends: {_BRINGS[part]}chrony\nConflicts: {others}\n"
        f"Description: Vigil: {_MEANS[part]}\n"
        " Watches over flagged elderly residents of a community, and hands over to people when technology fails.\n"
    )


def scripts(part: str, version: str) -> Mapping[str, str]:
    """Return the maintainer's scripts by name."""
    wanted = f"vigil[{','.join(PARTS[part])}]=={version}"
    named = " ".join(units(part))
    return {
        "postinst": _POSTINST.replace("@WANTED@", wanted),
        "prerm": _PRERM.replace("@UNITS@", named),
        "postrm": _POSTRM,
        "conffiles": "/etc/vigil/vigil.env\n",
    }


SETTINGS: Final = """\
# Settings that every process of this host reads; each has its own /etc/vigil/NAME.env beside it.
# Secrets go into /etc/vigil/secrets/NAME/, a file each (README: VIGIL_SECRETS).
#VIGIL_MQTT_HOST=127.0.0.1
#VIGIL_MQTT_PORT=1883
#VIGIL_MQTT_PROTOCOL=5
#VIGIL_KAFKA_BOOTSTRAP=127.0.0.1:9092
#VIGIL_OPS_HOST=127.0.0.1
"""

_POSTINST: Final = """\
#!/bin/sh
# Makes the environment anew beside the old one, so that a failure leaves what runs as it was.
set -e
[ "$1" = configure ] || exit 0
root=${DPKG_ROOT:-}
if [ -z "$root" ]; then
    adduser --system --group --quiet --home /var/lib/vigil --no-create-home vigil
fi
install -d -m 0755 "$root/opt" "$root/etc/vigil"
install -d -m 0700 "$root/etc/vigil/secrets"
rm -rf "$root/opt/vigil.new"
python3 -m venv "$root/opt/vigil.new"
"$root/opt/vigil.new/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \\
    --no-index --find-links "$root/usr/share/vigil/wheelhouse" "@WANTED@"
rm -rf "$root/opt/vigil.old"
[ ! -e "$root/opt/vigil" ] || mv "$root/opt/vigil" "$root/opt/vigil.old"
mv "$root/opt/vigil.new" "$root/opt/vigil"
rm -rf "$root/opt/vigil.old"
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
"""
_PRERM: Final = """\
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
    systemctl disable --now @UNITS@ || true
fi
"""
_POSTRM: Final = """\
#!/bin/sh
# What was seen and not sent yet is in /var/lib/vigil, and stays also when the package is purged.
set -e
case "$1" in
    remove | purge) rm -rf "${DPKG_ROOT:-}/opt/vigil" ;;
esac
if [ "$1" = remove ] && [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
"""
