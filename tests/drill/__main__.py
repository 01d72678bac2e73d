"""`make drill`: break each part of the running platform, and measure people's way.

Real: servers, processes, kills, the watchdog, its page, its notices, its packs, the roster,
late alerts and reconciliation.  Simulated, and labelled so: helpers' walking and telephoning.
QUICK=1 plays three faults.  The last line is JSON with the figures of issue 8; the exit status
says whether its goals were met.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from fallback import capacity
from tests.drill import residents
from tests.drill.course import READY_S, SHORT_STAFF, Drill, say, until
from tests.drill.faults import FAULTS
from tests.drill.figures import report, unmet
from tests.drill.running import PLATFORM, platform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.drill.faults import Fault

SHORT = 3
"""Faults of the short form: the first ones."""


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill")
    parser.add_argument("--short", action="store_true", help="three faults (as QUICK=1)")
    parser.add_argument("--only", help="one fault, by name, or `rolling`")
    parser.add_argument("--keep", type=Path, help="folder for logs and data, which then stay")
    parser.add_argument("--seed", type=int, default=20260302)
    parser.add_argument("--residents", type=int, default=600)
    parser.add_argument("--staff", type=int, default=20)
    return parser.parse_args()


def chosen(asked: argparse.Namespace) -> tuple[Sequence[Fault], Sequence[str]]:
    """Return which faults are played, and which processes are restarted politely at the end."""
    if asked.only:
        one = [fault for fault in FAULTS if fault.name == asked.only]
        return one, PLATFORM if asked.only == "rolling" else ()
    if asked.short or os.environ.get("QUICK"):
        return FAULTS[:SHORT], PLATFORM[:1]
    return FAULTS, PLATFORM


def play(drill: Drill, faults: Sequence[Fault], rolling: Sequence[str]) -> None:
    """Play the faults one after the other; what breaks the course itself is among the figures."""
    try:
        until(drill.modes, READY_S, "the watchdog's page")
        drill.learn()
        drill.calm()
        drill.short_of_people()
        for fault in faults:
            drill.fault(fault)
        if rolling:
            drill.rolling(rolling)
    except Exception as error:  # noqa: BLE001 - whatever it was, the figures are told, with it
        drill.figures.faults.append({"fault": "course", "error": str(error) or type(error).__name__})


def main() -> int:
    """Run the drill; the exit status says whether people were missed or the goals were."""
    asked = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
    rng = Random(asked.seed)
    tables = residents.rows(asked.residents, rng)
    faults, rolling = chosen(asked)
    risks = [row["risk"] for row in tables["resident"]]
    for staff in (SHORT_STAFF, asked.staff):
        say(f"with {staff} staff: {capacity.plan(risks, staff).en}")
    with (
        tempfile.TemporaryDirectory(prefix="vigil-drill-") as scratch,
        platform(asked.keep or Path(scratch), tables, asked.staff) as up,
    ):
        drill = Drill(up, asked.residents, asked.staff, rng)
        play(drill, faults, rolling)
    found = report(drill.figures, asked.seed)
    for sentence in unmet(found):
        say(f"not met: {sentence}")
    print(json.dumps(found))
    return 1 if unmet(found) else 0


if __name__ == "__main__":
    sys.exit(main())
