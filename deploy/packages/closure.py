"""Which of the pinned packages a part of Vigil needs, from what is installed here; pure but for that.

Neighbour: `deploy.embedded.lock` made the pins, of everything; a box needs a tenth of them.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires
from typing import TYPE_CHECKING, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from vigil.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "platform": ("ingest", "processors", "api"),
    "fallback": ("fallback",),
    "edge": ("camera", "wearables"),
}
"""What is installed on one host, and the extras of `pyproject.toml` that it needs."""


def installed(name: str) -> list[str]:
    """Return what an installed distribution requires.

    Raises:
        Stop: It is not installed, so that nobody knows.
    """
    try:
        return requires(name) or []
    except PackageNotFoundError:
        raise Stop(f"{name} is not installed here; run: make check") from None


def closure(extras: Iterable[str], required: Callable[[str], list[str]] = installed) -> set[str]:
    """Return the names of everything that Vigil with these extras needs, itself left out.

    Args:
        extras: Of `pyproject.toml`.
        required: Tells what a distribution requires.
    """
    waiting = [Requirement(f"vigil[{','.join(extras)}]")]
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        for extra in ("", *wanted.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += _needs(required(wanted.name), extra)
    return {name for name, _ in seen} - {"vigil"}


def _needs(required: list[str], extra: str) -> list[Requirement]:
    found = [Requirement(line) for line in required]
    return [need for need in found if need.marker is None or need.marker.evaluate({"extra": extra})]


def subset(pinned: Mapping[str, str], names: Iterable[str]) -> str:
    """Return the pins of some packages, with their hashes.

    Raises:
        Stop: One is not pinned: what is installed here is not what is locked.
    """
    by_name: dict[str, str] = {canonicalize_name(name): lines for name, lines in pinned.items()}
    if unknown := sorted(set(names) - by_name.keys()):
        raise Stop(f"not pinned in constraints.txt: {', '.join(unknown)}; run: make lock")
    return "\n".join([*(by_name[name] for name in sorted(names)), ""])
