"""Deaths and new starts, with a clock of our own and something that dies when told to."""

from __future__ import annotations

import pytest

from deploy.embedded.backoff import HEALTHY_S
from deploy.embedded.servers import free_port
from deploy.embedded.supervisor import Household, Keeper, probe
from vigil.errors import Stop
from vigil.telemetry import Check, ops_server


class Mortal:
    """Runs until it is told to die."""

    def __init__(self, name: str = "ingest", diary: list[str] | None = None) -> None:
        self.name = name
        self.pid: int | None = None
        self.starts = 0
        self.refuses = ""
        self.interrupts_stop = False
        self.diary = diary if diary is not None else []

    def launch(self) -> None:
        if self.refuses:
            raise Stop(f"{self.name}: {self.refuses}")
        self.starts += 1
        self.pid = 100 + self.starts

    def stop(self) -> None:
        if self.interrupts_stop:
            raise KeyboardInterrupt
        self.diary.append(f"stop {self.name}")
        self.pid = None

    def kill(self) -> None:
        self.diary.append(f"kill {self.name}")
        self.pid = None

    def obituary(self) -> str:
        return "was killed by signal 9"


@pytest.fixture
def lines() -> list[str]:
    return []


def keeper(mortal: Mortal, lines: list[str]) -> Keeper:
    return Keeper(mortal, lines.append, chance=lambda: 0.0)


def test_it_is_started_at_the_first_step(lines: list[str]) -> None:
    mortal = Mortal()
    keeper(mortal, lines).step(now=10)
    assert mortal.starts == 1
    assert lines == []


def test_a_death_is_one_line_that_names_who_how_and_when_again(lines: list[str]) -> None:
    mortal = Mortal()
    held = keeper(mortal, lines)
    held.step(now=10)
    mortal.pid = None
    held.step(now=11)
    held.step(now=11.2)
    assert lines == ["ingest was killed by signal 9; it is started again in 0.5 s"]


def test_it_comes_back_when_the_wait_is_over_and_not_before(lines: list[str]) -> None:
    mortal = Mortal()
    held = keeper(mortal, lines)
    held.step(now=10)
    mortal.pid = None
    held.step(now=11)
    held.step(now=11.49)
    assert mortal.starts == 1
    held.step(now=11.5)
    assert mortal.starts == 2


def test_one_that_dies_again_and_again_waits_longer_each_time(lines: list[str]) -> None:
    mortal, now = Mortal(), 0.0
    held = keeper(mortal, lines)
    waits = []
    for _ in range(8):
        held.step(now)
        mortal.pid = None
        held.step(now)
        waits.append(held.due_at - now)
        now = held.due_at
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_after_a_healthy_minute_the_next_death_counts_as_the_first(lines: list[str]) -> None:
    mortal = Mortal()
    held = keeper(mortal, lines)
    held.failures = 7
    held.step(now=0)
    mortal.pid = None
    held.step(now=HEALTHY_S)
    assert held.failures == 1


def test_one_that_cannot_be_started_is_tried_again_and_says_why_without_repeating_its_name(
    lines: list[str],
) -> None:
    mortal = Mortal("mqtt")
    mortal.refuses = "port 1883 on 127.0.0.1 is in use by another program"
    held = keeper(mortal, lines)
    held.step(now=0)
    mortal.refuses = ""
    held.step(now=0.5)
    assert lines == ["mqtt port 1883 on 127.0.0.1 is in use by another program; it is started again in 0.5 s"]
    assert mortal.starts == 1


def test_what_runs_already_is_taken_in_without_a_second_start(lines: list[str]) -> None:
    mortal = Mortal()
    mortal.launch()
    Household(lines.append, lambda: 0.0).take_in(mortal, now=0)
    assert mortal.starts == 1


def test_the_last_one_taken_in_is_the_first_to_end(lines: list[str]) -> None:
    diary: list[str] = []
    household = Household(lines.append, lambda: 0.0)
    for name in ("postgres", "ingest", "edge"):
        household.take_in(Mortal(name, diary), now=0)
    household.stop()
    assert diary == ["stop edge", "stop ingest", "stop postgres"]


def test_a_second_interrupt_kills_what_is_left(lines: list[str]) -> None:
    diary: list[str] = []
    household = Household(lines.append, lambda: 0.0)
    stubborn = Mortal("ingest", diary)
    stubborn.interrupts_stop = True
    for mortal in (Mortal("postgres", diary), stubborn, Mortal("edge", diary)):
        household.take_in(mortal, now=0)
    household.stop()
    assert diary == ["stop edge", "kill edge", "kill ingest", "kill postgres"]


def test_a_process_that_can_do_its_work_lacks_nothing() -> None:
    with ops_server("127.0.0.1", 0, {"mqtt": lambda: None}) as port:
        assert probe(f"http://127.0.0.1:{port}/readyz") is None


def test_a_process_that_cannot_yet_says_which_check_fails() -> None:
    checks: dict[str, Check] = {"mqtt": lambda: None, "database": lambda: "refuses connections"}
    with ops_server("127.0.0.1", 0, checks) as port:
        assert probe(f"http://127.0.0.1:{port}/readyz") == "database: refuses connections"


def test_a_process_that_does_not_listen_yet_does_not_answer() -> None:
    missing = probe(f"http://127.0.0.1:{free_port()}/readyz")
    assert missing is not None
    assert "does not answer yet" in missing
