from __future__ import annotations

import pytest

from edge.timesync import UNKNOWN_S, Kernel, TimeKeeper, kernel_clock, machine_start
from tests.unit.edge.parts import START


class Machine:
    def __init__(self) -> None:
        self.mono = 100.0
        self.kernel = Kernel(synced=False, error_s=16.0)
        self.keeper = TimeKeeper(lambda: START.utc, lambda: self.mono, "m1", lambda: self.kernel)


def test_a_clock_that_was_never_synchronised_says_so() -> None:
    now = Machine().keeper.now()
    assert (now.clock, now.clockerr) == ("unsynced", UNKNOWN_S)


def test_a_synchronised_clock_gives_the_kernel_s_bound() -> None:
    machine = Machine()
    machine.kernel = Kernel(synced=True, error_s=0.02)
    assert (machine.keeper.now().clock, machine.keeper.now().clockerr) == ("synced", 0.02)


def test_a_clock_that_has_lost_its_server_drifts_from_where_it_was() -> None:
    machine = Machine()
    machine.kernel = Kernel(synced=True, error_s=0.02)
    machine.keeper.now()
    machine.kernel = Kernel(synced=False, error_s=16.0)
    machine.mono += 3600
    now = machine.keeper.now()
    assert now.clock == "holdover"
    assert now.clockerr == pytest.approx(0.02 + 0.36)


def test_a_kernel_that_bounds_its_error_by_seconds_is_not_believed() -> None:
    machine = Machine()
    machine.kernel = Kernel(synced=True, error_s=5.0)
    assert machine.keeper.now().clock == "unsynced"


def test_this_machine_answers() -> None:
    assert kernel_clock().error_s >= 0
    assert machine_start() == machine_start()
