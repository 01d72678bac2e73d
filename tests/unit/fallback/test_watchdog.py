from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import pytest

from fallback import lane
from fallback.canary import LATE, PERIOD, WAITING_AT_MOST, Judgement, Stage
from fallback.courier import Acked, Stored
from fallback.liveness import Process
from fallback.officer import Passed
from fallback.probes import Looked
from fallback.state import Mode
from fallback.watchdog import STOOD_STILL, Fact, Watchdog
from tests.unit.fallback.conftest import T0, FakeClock
from vigil.errors import NotFound, Rejected
from vigil.events import Receipt
from vigil.topics import Address, Lane

if TYPE_CHECKING:
    from uuid import UUID

    from fallback.store import Store

NODES = [Address("c1", "e1", "canary-e1-1"), Address("c1", "e1", "canary-e1-2")]
API = Process("api", "http://api/readyz")


def built(store: Store, *, processes: list[Process] | None = None) -> Watchdog:
    return Watchdog(store, {"e1": NODES}, processes or [], lambda: "0000abcd", UTC, T0)


class Platform:
    """A platform that answers canaries, as far as it works, and turns the watchdog."""

    def __init__(self, watchdog: Watchdog, clock: FakeClock) -> None:
        self.watchdog, self.clock = watchdog, clock
        self.passes: set[Stage] = set(Stage)
        self._answered: set[UUID] = set()

    def run(self, seconds: float) -> None:
        end = self.clock.at + timedelta(seconds=seconds)
        while self.clock.at < end:
            self.watchdog.step(self.clock.forward(0.5), self._facts())

    def _facts(self) -> list[Fact]:
        fresh = [
            run
            for run in self.watchdog.view().estates[0].runs
            if run.judgement is Judgement.PENDING and run.event not in self._answered
        ]
        facts: list[Fact] = []
        for run in fresh:
            self._answered.add(run.event)
            if Stage.PUBLISHED in self.passes:
                facts.append(Acked(str(run.event), self.clock.at))
            if Stage.STORED in self.passes:
                receipt = Receipt(boot="1-0000abcd", lane=Lane.ALARM, stored=10**6)
                facts.append(Stored(run.node, receipt, self.clock.at))
            facts += [
                Passed(run.event, stage, self.clock.at)
                for stage in (Stage.ALERTED, Stage.ACKNOWLEDGED)
                if stage in self.passes
            ]
        return facts


@pytest.fixture
def platform(store: Store, clock: FakeClock) -> Platform:
    return Platform(built(store), clock)


def mode(platform: Platform) -> Mode:
    return platform.watchdog.view().mode


def test_a_working_platform_is_normal_and_a_canary_goes_every_eight_seconds(platform: Platform) -> None:
    platform.run(80)
    runs = platform.watchdog.view().estates[0].runs
    assert mode(platform) is Mode.NORMAL
    assert {second.made_at - first.made_at for first, second in itertools.pairwise(runs)} == {PERIOD}
    assert {run.judgement for run in runs[:-1]} == {Judgement.GOOD}


def test_the_canary_nodes_take_turns(platform: Platform) -> None:
    platform.run(40)
    nodes = [run.node for run in platform.watchdog.view().estates[0].runs]
    assert nodes[:4] == ["canary-e1-1", "canary-e1-2"] * 2


@pytest.mark.parametrize("broken", list(Stage))
def test_whatever_stage_fails_fallback_is_declared_within_thirty_seconds_and_names_it(
    platform: Platform, broken: Stage
) -> None:
    platform.run(60)
    failed_at = platform.clock.at
    stages = list(Stage)
    platform.passes = set(stages[: stages.index(broken)])
    platform.run(30)
    (estate,) = platform.watchdog.view().estates
    assert estate.verdict.mode is Mode.FALLBACK
    assert estate.verdict.since - failed_at <= timedelta(seconds=30)
    assert [cause.subject for cause in estate.verdict.causes if cause.code == "canary"] == [broken]


def test_a_blip_that_costs_one_canary_declares_nothing(platform: Platform) -> None:
    platform.run(60)
    platform.passes = set()
    platform.run(8)
    platform.passes = set(Stage)
    platform.run(120)
    assert mode(platform) is Mode.NORMAL


def test_an_outage_leaves_only_a_few_canaries_behind(platform: Platform, store: Store) -> None:
    platform.passes = set()
    platform.run(600)
    assert lane.waiting(store, "e1") == WAITING_AT_MOST


def test_a_watchdog_that_stood_still_blames_nobody(platform: Platform) -> None:
    platform.run(60)
    platform.passes = set()
    platform.run(2)
    platform.clock.forward(600)
    platform.passes = set(Stage)
    platform.run(60)
    assert mode(platform) is Mode.NORMAL


def test_a_clock_that_jumps_back_blames_nobody(platform: Platform) -> None:
    platform.run(60)
    platform.clock.forward(-30)
    platform.run(60)
    assert mode(platform) is Mode.NORMAL


def test_a_service_without_answer_declares_after_three_looks(store: Store, clock: FakeClock) -> None:
    watchdog = built(store, processes=[API])
    for _ in range(3):
        watchdog.step(clock.forward(1), [Looked(API.url, "ConnectError", clock.at)])
    verdict = watchdog.view().estates[0].verdict
    assert (verdict.mode, verdict.causes[0].detail) == (Mode.FALLBACK, "ConnectError")


def test_the_verdict_survives_a_restart(store: Store, clock: FakeClock) -> None:
    watchdog = built(store)
    watchdog.declare("e1", "person:li", "exercise", clock.at)
    again = built(store)
    again.step(clock.forward(1))
    verdict = again.view().estates[0].verdict
    assert (verdict.mode, verdict.by, verdict.since) == (Mode.FALLBACK, "person:li", T0)


def test_what_was_under_way_at_a_restart_is_not_counted(store: Store, clock: FakeClock) -> None:
    built(store).step(clock.forward(1))
    again = built(store)
    assert [run.judgement for run in again.view().estates[0].runs] == [Judgement.VOID]


def test_a_change_of_mode_is_logged_and_told_in_one_transaction(store: Store, clock: FakeClock) -> None:
    watchdog = built(store)
    watchdog.declare("e1", "person:li", "exercise", clock.at, drill=True)
    (line,) = store.read("SELECT actor, what, drill FROM log")
    (notice,) = store.read("SELECT title, body, urgent FROM notice")
    assert tuple(line) == ("person:li", "fallback", 1)
    assert "演练 DRILL" in notice["title"]
    assert "e1" in notice["title"]
    assert notice["urgent"] == 1


def test_fallback_is_left_by_a_person_step_by_step(platform: Platform) -> None:
    platform.passes = set()
    platform.run(40)
    with pytest.raises(Rejected, match="still broken"):
        platform.watchdog.begin_recovery("e1", "person:li", platform.clock.at)
    receipt = Receipt(boot="1-0000abcd", lane=Lane.ALARM, stored=10**6)
    back: list[Fact] = [Stored(node.node, receipt, platform.clock.at) for node in NODES]
    platform.watchdog.step(platform.clock.forward(0.5), back)
    platform.passes = set(Stage)
    platform.run(60)
    platform.watchdog.begin_recovery("e1", "person:li", platform.clock.at)
    with pytest.raises(Rejected, match="10 minutes"):
        platform.watchdog.close("e1", "person:li", platform.clock.at)
    platform.run(600)
    platform.watchdog.close("e1", "person:li", platform.clock.at)
    assert mode(platform) is Mode.NORMAL


def test_an_unknown_estate_is_named(store: Store) -> None:
    with pytest.raises(NotFound, match="e9"):
        built(store).declare("e9", "person:li", "x", T0)


def test_canaries_are_forgotten_after_two_days_and_the_log_is_not(platform: Platform, store: Store) -> None:
    platform.watchdog.declare("e1", "person:li", "exercise", platform.clock.at)
    platform.run(60)
    platform.clock.forward(3 * 24 * 3600)
    platform.run(60)
    (oldest,) = store.read("SELECT min(made_at) FROM run")
    assert oldest[0] >= (platform.clock.at - timedelta(days=2)).timestamp()
    assert store.read("SELECT * FROM log")


def test_standing_still_is_longer_than_a_slow_step() -> None:
    assert STOOD_STILL < LATE


def test_reading_a_verdict_never_waits_for_the_loop(store: Store) -> None:
    watchdog = built(store)
    with ThreadPoolExecutor(1) as page, watchdog._lock:
        assert page.submit(watchdog.verdict, "e1").result(timeout=5).mode is Mode.NORMAL
