"""`python -m deploy.prometheus`: write docs/reference/metrics.md from the code; a test compares.

Neighbours: every room declares its metrics beside the code that moves them, as constants of a
module; this reads these declarations and imports nothing.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
REFERENCE: Final = ROOT / "docs/reference/metrics.md"
ROOMS: Final = ("edge", "ingest", "processors", "api", "fallback", "deploy", "vigil")
KINDS: Final = frozenset({"Counter", "Gauge", "Histogram", "Summary"})
_HEAD: Final = """# Metrics

Every process serves them at `/metrics` of its own port (`VIGIL_OPS_HOST`, `VIGIL_OPS_PORT`). Base units (seconds,
bytes, 1), counters end in `_total`, labels are bounded: lanes, reasons, channels, priorities, estates, never a
device, a resident or an event. Beside these stand Python's own (`process_*`, `python_*`). Written by
`python -m deploy.prometheus` from the declarations in the code; a test compares.
"""


@dataclass(frozen=True, slots=True, order=True)
class Metric:
    """A metric as it is declared.

    Attributes:
        room: The package that declares it; `vigil` is every process that uses the part.
        name: As Prometheus knows it.
        kind: Counter, gauge, histogram or summary.
        labels: Names of its labels.
        means: The help text.
    """

    room: str
    name: str
    kind: str
    labels: tuple[str, ...]
    means: str


def declared(root: Path = ROOT) -> Iterator[Metric]:
    """Yield every metric that a module declares."""
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (found := _metric(room, node)) is not None:
                    yield found


def _metric(room: str, node: ast.AST) -> Metric | None:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS):
        return None
    if not (node.args and isinstance(node.args[0], ast.Constant)):
        return None  # collections.Counter has the same name
    name, means, *labels = (ast.literal_eval(each) for each in node.args)
    return Metric(room, name, node.func.id.lower(), tuple(labels[0]) if labels else (), means)


def reference() -> str:
    """Return the page."""
    lines = [_HEAD]
    found = sorted(declared())
    for room in ROOMS:
        lines += [f"## {room}\n", "| metric | kind | labels | what |", "|---|---|---|---|"]
        lines += [
            f"| `{m.name}` | {m.kind} | {', '.join(m.labels)} | {m.means} |" for m in found if m.room == room
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
    sys.stdout.write(f"{REFERENCE.relative_to(ROOT)} written\n")
