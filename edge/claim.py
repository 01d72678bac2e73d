"""`python -m edge claim` and `renew`: how a box comes by its certificate, and by the next one.

Place in the flow: before the first start, and once a day after it (`deploy/systemd`).  The box
makes its key and never shows it to anybody; `api.claims` signs what a good code asks for.  Key and
certificate lie in one file, which a crash leaves old or new and never half.

    identity.pem   key and certificate            edge.env    the broker's address, for the process
    ca.pem         whom the box trusts            node.json   the node's file to begin with
    claim.json     platform, node, end of the certificate

All of it is for the box's own user alone.  A lost answer may be asked for again: the same key with
the same code gets the same certificate; another key with a used code gets nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from vigil import pki
from vigil.errors import Stop, Unavailable, VigilError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

FOLDER: Final = Path("/var/lib/vigil/identity")
PATIENCE_S: Final = 30.0
LARGEST: Final = 1 << 20
"""Bytes of an answer that are read."""
T = TypeVar("T")
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Grant(Struct, frozen=True):
    """What the platform gives for a good code, or for a good certificate."""

    node: str
    certificate: str
    ca: str
    broker: str
    config: dict[str, Any] | None = None


class Claimed(Struct, frozen=True):
    """What a box remembers of its claim.

    Attributes:
        url: The platform.
        node: Who this box is.
        not_after: When its certificate ends.
        ca: The authority that the platform's own address is trusted by; None is the system's.
    """

    url: str
    node: str
    not_after: datetime
    ca: str | None = None


class Platform:
    """The platform's side, over HTTPS."""

    def __init__(self, url: str, ca: str | None) -> None:
        """Take note of where it is.

        Raises:
            Stop: The address would show the code to everybody on the way, or its authority cannot
                be read.
        """
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise Stop(f"{url} is not an https:// address; a code and a certificate are for no one else")
        self.url, self.ca = url.rstrip("/"), ca
        try:
            self._context = ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise Stop(f"the authority {ca} cannot be read: {error}") from None

    def ask(self, path: str, body: Mapping[str, str]) -> Grant:
        """Post a request for a certificate and return what was granted; raises as `post` does."""
        return self.post(path, json.dumps(dict(body)).encode(), Grant)

    def post(self, path: str, body: bytes, shape: type[T]) -> T:
        """Post JSON and return the answer.

        Raises:
            Stop: The platform refuses, with its own words.
            Unavailable: It does not answer, or not in its own way.
        """
        asked = urllib.request.Request(  # noqa: S310 - https, or http on the loopback, by the check above
            self.url + path, body, {"Content-Type": "application/json"}
        )
        try:
            opened = urllib.request.urlopen(asked, timeout=PATIENCE_S, context=self._context)  # noqa: S310 - as above
            with opened as answer:
                return msgspec.json.decode(answer.read(LARGEST), type=shape)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from None
        except (OSError, msgspec.DecodeError) as error:
            raise Unavailable(f"the platform at {self.url}", error) from None


class Identity:
    """The files that say who this box is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def pem(self) -> Path:
        """Key and certificate."""
        return self.folder / "identity.pem"

    def certificate(self) -> bytes:
        """Return the certificate without its key, as PEM.

        Raises:
            OSError: There is none.
        """
        both = self.pem.read_bytes()
        return both[both.index(b"-----BEGIN CERTIFICATE") :]

    def claimed(self) -> Claimed | None:
        """Return what is remembered of the claim, None before there was one."""
        try:
            return msgspec.json.decode((self.folder / "claim.json").read_bytes(), type=Claimed)
        except (OSError, msgspec.DecodeError):
            return None

    def next_key(self) -> EllipticCurvePrivateKey:
        """Return the key to ask with: one that was asked with before, if no answer came."""
        waiting = self.folder / "next.key"
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not waiting.exists():
            self._write("next.key", pki.key_pem(pki.new_key()))
        return pki.read_key(waiting.read_bytes())

    def take(self, granted: Grant, key: EllipticCurvePrivateKey, platform: Platform) -> Claimed:
        """Put what was granted in place.

        Raises:
            Stop: It is not for this key.
        """
        certificate = pki.read_certificate(granted.certificate.encode())
        if certificate.public_key() != key.public_key() or pki.common_name(certificate) != granted.node:
            raise Stop("the platform's certificate is not for this box's key; nothing was put in place")
        claimed = Claimed(platform.url, granted.node, certificate.not_valid_after_utc, platform.ca)
        self._write("ca.pem", granted.ca.encode())
        self._write("edge.env", self._environment(granted.broker).encode())
        self._write("identity.pem", pki.key_pem(key) + granted.certificate.encode())
        self._write("claim.json", msgspec.json.encode(claimed))
        (self.folder / "next.key").unlink()
        return claimed

    def keep_config(self, config: Mapping[str, Any] | None) -> None:
        """Write the node's file to begin with, once; the installer adds the sources."""
        if config is not None and not (self.folder / "node.json").exists():
            self._write("node.json", json.dumps(config, indent=2, ensure_ascii=False).encode())

    def _environment(self, broker: str) -> str:
        host, _, port = broker.rpartition(":")
        lines = (f"MQTT_HOST={host.strip('[]')}", f"MQTT_PORT={port}", f"MQTT_CA={self.folder / 'ca.pem'}")
        return "".join(f"VIGIL_{line}\n" for line in (*lines, f"MQTT_CERT={self.pem}"))

    def _write(self, name: str, content: bytes) -> None:
        """Put a file in place at once, for this user alone."""
        fresh = self.folder / f"{name}.new"
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self.folder / name)


def claim(identity: Identity, platform: Platform, code: str) -> Claimed:
    """Exchange a code for this box's certificate and its first config.

    Raises:
        Stop: The code is not good, or the answer is not for this box.
        Unavailable: The platform does not answer; the same command may be given again.
    """
    key = identity.next_key()
    asked = pki.request(key, "box").decode()
    granted = platform.ask("/api/v1/claims/redeem", {"code": code.strip(), "request": asked})
    claimed = identity.take(granted, key, platform)
    identity.keep_config(granted.config)
    return claimed


def renew(identity: Identity, now: datetime, *, early: bool = False) -> Claimed | None:
    """Ask for the next certificate when the present one ends soon; return None where it does not.

    Raises:
        Stop: This box was never claimed, or the platform refuses: its certificate was revoked, or
            has expired.
        Unavailable: The platform does not answer; tomorrow is another day.
    """
    before = identity.claimed()
    if before is None:
        raise Stop(f"{identity.folder} holds no claim; run `python -m edge claim` first")
    if before.not_after - now > pki.RENEW_WITHIN and not early:
        return None
    platform, key = Platform(before.url, before.ca), identity.next_key()
    asked = pki.request(key, before.node)
    body = {
        "certificate": identity.certificate().decode(),
        "request": asked.decode(),
        "proof": b64encode(pki.proof(pki.read_key(identity.pem.read_bytes()), asked)).decode(),
    }
    return identity.take(platform.ask("/api/v1/claims/renew", body), key, platform)


def _refusal(error: urllib.error.HTTPError) -> VigilError:
    try:
        detail = str(json.loads(error.read(LARGEST))["detail"])
    except (ValueError, KeyError, TypeError, OSError):
        return Unavailable("the platform", f"HTTP status {error.code}")
    if error.code in (429, 503):
        return Unavailable("the platform", detail)
    return Stop(f"the platform refuses: {detail}")


def carry_out(command: str, arguments: Sequence[str], now: datetime) -> str:
    """Claim or renew; return one line that says what came of it.

    Args:
        command: `claim` or `renew`.
        arguments: What stands behind it on the command line.
        now: Present time.

    Raises:
        VigilError: As `claim` and `renew` do.
    """
    parser = argparse.ArgumentParser(prog=f"edge {command}", description="Get this box's certificate.")
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder of the identity (%(default)s)")
    if command == "claim":
        parser.add_argument("--code", required=True, help="from the platform; good once, for a day")
        parser.add_argument("--url", required=True, help="the platform's address, https://...")
        parser.add_argument("--ca", help="authority of that address, where it is not a public one")
    else:
        parser.add_argument("--now", action="store_true", help="also when there is time left")
    chosen = parser.parse_args(arguments)
    try:
        return _done(command, chosen, now)
    except OSError as error:
        raise Stop(f"{error.filename or chosen.into} cannot be used: {error.strerror}") from None


def _done(command: str, chosen: argparse.Namespace, now: datetime) -> str:
    identity = Identity(chosen.into)
    if command == "claim":
        made = claim(identity, Platform(chosen.url, chosen.ca), chosen.code)
        return f"This box is {made.node}, until {made.not_after:%Y-%m-%d}; {chosen.into}/edge.env is its setting."
    renewed = renew(identity, now, early=chosen.now)
    return (
        f"Renewed until {renewed.not_after:%Y-%m-%d}." if renewed else "There is time left; nothing was done."
    )
