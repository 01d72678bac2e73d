"""`make accuracy`: every detector on the recordings at hand; the last line is JSON.

Each protocol is a program of its own (`wearable`, `camera`, `routine`) that prints its table; this
one runs them one after the other and gathers their last lines.  QUICK=1 trains smaller models.
Whole, it takes a quarter of an hour of one core.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
RUNS: Final = {
    "sisfall_waist": ("tests.accuracy.wearable", "sisfall", "--placement", "waist", "--cross-validate"),
    "weda_wrist": ("tests.accuracy.wearable", "weda", "--placement", "wrist", "--cross-validate"),
    "sisfall_elderly_never_seen": (
        "tests.accuracy.wearable",
        "sisfall",
        "--placement",
        "waist",
        "--held-out",
        "SE",
    ),
    "weda_elderly_never_seen": (
        "tests.accuracy.wearable",
        "weda",
        "--placement",
        "wrist",
        "--held-out",
        "U2",
    ),
    "kasteren_routines": ("tests.accuracy.routine", "kasteren_mit", "--warmup-days", "7"),
    "ordonez_routines": ("tests.accuracy.routine", "ordonez_adl", "--warmup-days", "7"),
    "upfall_camera": ("tests.accuracy.camera", "upfall_video_s1", "--trials", "2"),
}
"""Name -> program, folder of the recordings, options.

The elderly are the nearest to a set of other people: 15 in SisFall, of whom one falls, and 9 of 11
in WEDA, who only live their day.  The logs of homes are too short for a month of learning.  The
camera's trial 1 chose its thresholds.
"""


def figures(program: str, folder: Path, *options: str) -> dict[str, Any]:
    """Run a protocol and return its last line.

    Raises:
        subprocess.CalledProcessError: It failed; it has said why.
    """
    command = [sys.executable, "-m", program, str(folder), *options]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    lines = done.stdout.strip().splitlines()
    print("\n".join(lines), flush=True)
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def main() -> int:
    """Run every protocol whose recordings are there."""
    data = Path(os.environ.get("VIGIL_DATA") or ROOT.parent / "shared/data")
    quick = ("--quick",) if os.environ.get("QUICK") else ()
    results: dict[str, Any] = {}
    for name, (program, folder, *options) in RUNS.items():
        if not (data / folder).is_dir():
            print(
                f"{name}: no recordings in {data / folder}; VIGIL_DATA says where they are", file=sys.stderr
            )
            continue
        more = quick if program.endswith("wearable") else ()
        results[name] = figures(program, data / folder, *options, *more)
    print(json.dumps(results))
    return 0 if results else 1


if __name__ == "__main__":
    sys.exit(main())
