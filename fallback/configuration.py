"""What the watchdog's settings mean; read once, by `__main__`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fallback import procedures
from fallback.liveness import Process
from fallback.pack import PLACES
from vigil.errors import Misconfigured, Rejected
from vigil.roster import read_public_key
from vigil.topics import Address, Kind, parse

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from fallback.procedures import Procedure
    from vigil.settings import FallbackSettings

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def canaries(settings: FallbackSettings) -> dict[str, list[Address]]:
    """Return the canary nodes of each estate.

    Raises:
        Misconfigured: An entry is not `community/estate/node`.
    """
    estates: dict[str, list[Address]] = {}
    for entry in _entries(settings.fallback_canaries):
        address = _address(entry)
        estates.setdefault(address.estate, []).append(address)
    return estates


def _address(entry: str) -> Address:
    levels = entry.split("/")
    wrong = Misconfigured("VIGIL_FALLBACK_CANARIES", f"{entry!r} is not community/estate/node")
    if len(levels) != 3:
        raise wrong
    address = Address(*levels)
    try:
        parse(address.topic(Kind.STATE))
    except Rejected:
        raise wrong from None
    return address


def processes(settings: FallbackSettings) -> list[Process]:
    """Return the processes to look at.

    Raises:
        Misconfigured: An entry is not `service=url`, or a URL stands twice.
    """
    found: dict[str, Process] = {}
    for entry in _entries(settings.fallback_probes):
        service, equals, url = entry.partition("=")
        if not (service and equals and _to_be_probed(url)) or url in found:
            raise Misconfigured("VIGIL_FALLBACK_PROBES", f"{entry!r} is not service=url, or stands twice")
        found[url] = Process(service, url)
    return list(found.values())


def _to_be_probed(url: str) -> bool:
    where = urlsplit(url)
    try:
        return bool(where.hostname) and (
            where.scheme in ("http", "https") or (where.scheme == "tcp" and bool(where.port))
        )
    except ValueError:  # a port that is no number
        return False


def certificates(settings: FallbackSettings) -> list[tuple[str, int]]:
    """Return the hosts and ports whose certificates are looked at: whatever we reach over TLS."""
    urls = [settings.fallback_api, settings.fallback_peer or "", *(p.url for p in processes(settings))]
    found = {(where.hostname, where.port or 443) for where in map(urlsplit, urls) if where.scheme == "https"}
    if settings.mqtt_ca is not None:
        found.add((settings.mqtt_host, settings.mqtt_port))
    return sorted((host, port) for host, port in found if host)


def zone(settings: FallbackSettings) -> ZoneInfo:
    """Return the community's time zone.

    Raises:
        Misconfigured: There is none of this name.
    """
    try:
        return ZoneInfo(settings.fallback_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise Misconfigured("VIGIL_FALLBACK_ZONE", f"{settings.fallback_zone!r} is no time zone") from None


def roster_key(settings: FallbackSettings) -> Ed25519PublicKey | None:
    """Return the key that the platform's roster is signed with.

    Raises:
        Misconfigured: It is no key.
    """
    if settings.fallback_roster_key is None:
        return None
    try:
        return read_public_key(settings.fallback_roster_key)
    except Rejected as error:
        raise Misconfigured("VIGIL_FALLBACK_ROSTER_KEY", error.detail) from None


def places(settings: FallbackSettings) -> list[Path]:
    """Return the folders that take the packs.

    Raises:
        Misconfigured: There is only one, or no passphrase to lock them with.
    """
    folders = [Path(entry) for entry in _entries(settings.fallback_packs)]
    if folders and len(folders) < PLACES:
        raise Misconfigured(
            "VIGIL_FALLBACK_PACKS", f"names {len(folders)} folder; a pack goes to {PLACES} at least"
        )
    if folders and settings.fallback_passphrase is None:
        raise Misconfigured(
            "VIGIL_FALLBACK_PASSPHRASE", "is missing; the packs hold names and are locked with it"
        )
    return folders


def library() -> list[Procedure]:
    """Return the procedures.

    Raises:
        Misconfigured: A file is wrong; every error with its line.
    """
    folder = files("fallback") / "instructions"
    try:
        names = [each.name for each in folder.iterdir() if each.name.endswith(".yaml")]
        return procedures.library(names, lambda name: (folder / name).read_text(encoding="utf-8"))
    except Rejected as error:
        raise Misconfigured("fallback/instructions", error.detail) from None


def check_page(settings: FallbackSettings) -> None:
    """See to it that names of residents are not shown to whoever finds the port.

    Raises:
        Misconfigured: The page can be reached from elsewhere, and no passphrase guards it.
    """
    if settings.fallback_host not in _LOOPBACK and settings.fallback_passphrase is None:
        why = f"is missing, and the page is open to others at {settings.fallback_host}"
        raise Misconfigured("VIGIL_FALLBACK_PASSPHRASE", why)


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]
