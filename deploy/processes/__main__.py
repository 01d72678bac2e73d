"""`python -m deploy.processes`: write systemd's units and Kubernetes' manifests; a test compares."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.processes import kubernetes, units

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY: Final = Path(__file__).resolve().parents[1]


def files() -> Iterator[tuple[Path, str]]:
    """Yield each file and what it is to hold."""
    for name, content in units.files():
        yield DEPLOY / "systemd" / name, content
    yield DEPLOY / "kubernetes/processes.yaml", kubernetes.processes()
    yield DEPLOY / "kubernetes/topics.yaml", kubernetes.topics()
    yield DEPLOY / "kubernetes/watchdog/watchdog.yaml", kubernetes.watchdog()


def main() -> int:
    """Write them all."""
    for path, content in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        print(f"{path.relative_to(DEPLOY.parent)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
