"""The bill of materials: the pinned list of packages as CycloneDX, and what an audit of it says.

Neighbour: `deploy.sbom.__main__` reads the list and asks pip-audit.  Pure: text in, facts out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5

if TYPE_CHECKING:
    from collections.abc import Mapping

_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pinned:
    """A package of the list; `hashes` are SHA-256 of its files."""

    name: str
    version: str
    hashes: tuple[str, ...]


def read(constraints: str) -> list[Pinned]:
    """Read a list of pinned packages with the hashes of their files."""
    found: list[Pinned] = []
    for line in constraints.splitlines():
        if pin := _PIN.match(line):
            found.append(Pinned(pin[1], pin[2], ()))
        if found and (hashes := _HASH.findall(line)):
            last = found[-1]
            found[-1] = Pinned(last.name, last.version, (*last.hashes, *hashes))
    return found


def bill(packages: list[Pinned], version: str) -> dict[str, Any]:
    """Return the bill as CycloneDX 1.6; the same packages make the same bill.

    Args:
        packages: Everything that is installed.
        version: The platform's.
    """
    named = "\n".join(f"{one.name}=={one.version}" for one in packages)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'vigil/{version}/{named}')}",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "vigil", "version": version}},
        "components": [_component(one) for one in packages],
    }


def _component(package: Pinned) -> dict[str, Any]:
    reference = f"pkg:pypi/{package.name.lower().replace('_', '-')}@{package.version}"
    return {
        "type": "library",
        "name": package.name,
        "version": package.version,
        "purl": reference,
        "bom-ref": reference,
        "properties": [{"name": "vigil:sha256", "value": one} for one in package.hashes],
    }


@dataclass(frozen=True, slots=True)
class Audit:
    """What pip-audit has said.

    Attributes:
        known: `package version: id` of each vulnerability.
        audited: How many packages something is known of, for good or bad.
        skipped: How many it could not ask about.
    """

    known: tuple[str, ...]
    audited: int
    skipped: int

    def __str__(self) -> str:
        """Say it in one line."""
        if not self.audited:
            return f"nothing was audited: the advisory data cannot be had here ({self.skipped} packages)"
        said = f"{self.audited} packages audited, {self.skipped} could not be asked about"
        return f"{said}; known: {', '.join(self.known) or 'nothing'}"


def audit(answer: Mapping[str, Any]) -> Audit:
    """Read pip-audit's JSON."""
    found = answer.get("dependencies", [])
    known = [
        f"{one['name']} {one['version']}: {vulnerability['id']}"
        for one in found
        for vulnerability in one.get("vulns", ())
    ]
    skipped = sum("skip_reason" in one for one in found)
    return Audit(tuple(known), len(found) - skipped, skipped)
