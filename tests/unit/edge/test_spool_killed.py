"""A process that writes the spool is killed in the middle of it, again and again."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.unit.edge.parts import keys, opened
from vigil.topics import Lane

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
import sys
from pathlib import Path
from tests.unit.edge.parts import opened, reading, START
from vigil.topics import Lane
spool = opened(Path(sys.argv[1]))
while True:
    rows = spool.put([reading(lane) for lane in Lane for _ in range(int(sys.argv[2]))], START)
    for row in rows:
        print(spool.boot, row.key.lane, row.key.seq)
    sys.stdout.flush()
"""


def killed_after(path: Path, lines: int, batch: int) -> set[tuple[str, Lane, int]]:
    """Let a process write, kill it once it has promised `lines` rows, and return its promises."""
    command = [sys.executable, "-c", WRITER, str(path), str(batch)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        promised = [writer.stdout.readline() for _ in range(lines)]
        writer.send_signal(signal.SIGKILL)
        promised += writer.stdout.readlines()
    whole = [line.split() for line in promised if line.endswith("\n")]
    return {(boot, Lane(lane), int(seq)) for boot, lane, seq in whole}


@pytest.mark.parametrize(("lines", "batch"), [(1, 1), (41, 5), (333, 40)])
def test_whatever_it_had_promised_is_there_and_the_numbers_have_no_gap(
    tmp_path: Path, lines: int, batch: int
) -> None:
    path = tmp_path / "spool.db"
    promised = killed_after(path, lines, batch) | killed_after(path, lines, batch)
    spool = opened(path)
    here = {(boot, lane, seq) for lane in Lane for boot, seq in keys(spool, lane)}
    spool.close()
    assert promised <= here
    for boot, lane in {(boot, lane) for boot, lane, _ in here}:
        numbers = sorted(seq for b, of, seq in here if (b, of) == (boot, lane))
        assert numbers == list(range(1, len(numbers) + 1))
    assert spool.salvage is None
    assert spool.ordinal == 3
