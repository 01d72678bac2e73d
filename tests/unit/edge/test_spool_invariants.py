"""Whatever happens, in whatever order: what was accepted is here, or stored, or reported as shed."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.spool import Spool
from tests.unit.edge.conftest import MEMORY
from tests.unit.edge.parts import ADDRESS, START, keys, reading
from vigil.errors import Unavailable
from vigil.events import Receipt, Shed, decode_data
from vigil.topics import Lane

BOUND = 200_000
Place = tuple[str, Lane, int]


class SpoolMachine(RuleBasedStateMachine):
    """A spool beside a plain list of what it has promised."""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.openings = 0
        self.spool = self._opened("spool.db")
        self.accepted: set[Place] = set()
        self.stored: dict[tuple[str, Lane], int] = {}
        self.seen_shed: set[Place] = set()

    def _opened(self, name: str) -> Spool:
        self.openings += 1
        number = self.openings.to_bytes(4)
        return Spool(self.folder / name, ADDRESS, START, max_bytes=BOUND, entropy=lambda _: number)

    @rule(
        lanes=st.lists(st.sampled_from(Lane), min_size=1, max_size=30), size=st.sampled_from((1, 300, 2000))
    )
    def put(self, lanes: list[Lane], size: int) -> None:
        try:
            rows = self.spool.put([reading(lane, size) for lane in lanes], START)
        except Unavailable:
            return
        self.accepted |= {(self.spool.boot, row.key.lane, row.key.seq) for row in rows}
        self._note_reports()

    @rule(lane=st.sampled_from(Lane), part=st.floats(0, 1))
    def receive(self, lane: Lane, part: float) -> None:
        """The platform accounts for a part of a lane of any boot."""
        for boot, last in self._ends(lane):
            stored = max(self.stored.get((boot, lane), 0), int(part * last))
            self.spool.release([Receipt(boot=boot, lane=lane, stored=stored)])
            self.stored[boot, lane] = stored

    @rule()
    def close_and_open(self) -> None:
        self.spool.close()
        self.spool = self._opened("spool.db")

    @precondition(lambda self: self.openings < 12)
    @rule()
    def crash(self) -> None:
        """What is on the disk at this moment is all that the next process finds."""
        copies = self.folder / f"crash-{self.openings}"
        copies.mkdir()
        for file in self.folder.glob("spool.db*"):
            shutil.copy(file, copies / file.name)
        self.spool.close()
        for file in copies.iterdir():
            shutil.copy(file, self.folder / file.name)
        self.spool = self._opened("spool.db")

    @rule(lane=st.sampled_from(Lane))
    def fail_in_the_middle(self, lane: Lane) -> None:
        """An error between two rows of a batch leaves nothing of the batch."""
        readings = [reading(lane), reading(lane)]
        before = self.spool.depth()
        write, calls = self.spool._write, []

        def failing(*args: object, **kwargs: object) -> None:
            calls.append(args)
            if len(calls) == 2:
                raise sqlite3.OperationalError("disk I/O error")
            write(*args, **kwargs)  # type: ignore[arg-type]  # handed on as it came

        self.spool._write = failing  # type: ignore[method-assign]  # an injected fault
        try:
            self.spool.put(readings, START)
        except Unavailable:
            pass
        finally:
            self.spool._write = write  # type: ignore[method-assign]  # the fault is over
        if len(calls) == 2:
            assert self.spool.depth() == before

    @invariant()
    def nothing_accepted_is_unaccounted_for(self) -> None:
        here = {(boot, lane, seq) for lane in Lane for boot, seq in keys(self.spool, lane)}
        shed = self._shed()
        for boot, lane, seq in self.accepted:
            covered = seq <= self.stored.get((boot, lane), 0)
            assert covered or (boot, lane, seq) in here or (boot, lane, seq) in shed

    @invariant()
    def nothing_is_deleted_without_receipt_or_report(self) -> None:
        here = {(boot, lane, seq) for lane in Lane for boot, seq in keys(self.spool, lane)}
        shed = self._shed()
        for lane in Lane:
            for boot, last in self._ends(lane):
                stored = self.stored.get((boot, lane), 0)
                expected = {(boot, lane, seq) for seq in range(stored + 1, last + 1)}
                assert expected <= here | shed

    @invariant()
    def no_number_is_beyond_the_last_one_given_out(self) -> None:
        for lane in Lane:
            ends = dict(self._ends(lane))
            assert all(seq <= ends[boot] for boot, seq in keys(self.spool, lane))

    @invariant()
    def every_entry_in_the_list_of_what_was_shed_was_reported(self) -> None:
        assert self._shed() == self.seen_shed

    @invariant()
    def alarms_are_never_shed(self) -> None:
        assert not any(lane is Lane.ALARM for _, lane, _ in self._shed())

    @invariant()
    def the_depth_is_what_is_there(self) -> None:
        assert self.spool.depth() == {lane: len(keys(self.spool, lane)) for lane in Lane}

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.folder)

    def _note_reports(self) -> None:
        for row in self.spool.reports():
            data = decode_data(row.envelope())
            if isinstance(data, Shed):
                self.seen_shed |= {(data.of_boot, data.of_lane, n) for n in range(data.first, data.last + 1)}

    def _shed(self) -> set[Place]:
        found = self.spool._db.execute("SELECT boot, lane, first, last FROM shed")
        return {(boot, Lane(lane), n) for boot, lane, first, last in found for n in range(first, last + 1)}

    def _ends(self, lane: Lane) -> list[tuple[str, int]]:
        query = "SELECT boot, last FROM accepted WHERE lane = ?"
        return [(str(boot), int(last)) for boot, last in self.spool._db.execute(query, (lane,))]


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=40, stateful_step_count=25, deadline=None, derandomize=True)
