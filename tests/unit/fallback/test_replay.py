"""Days of ordinary care, replayed: restarts, kills, rebalances and deployments declare nothing.

The traces were recorded on the running stack at real speed (`python -m tests.drill.record`); a
seeded lot draws them one after the other, disturbances as often as calm, until 72 hours are full.

Whether a fallback is *false* is not asked of the watchdog: where two canaries of an estate in a row
needed more than 8 s, residents were not served, whoever caused it, and a declaration is right.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest

from fallback import canary, liveness, state
from fallback.canary import Judgement, Run, Stage
from fallback.liveness import Process
from fallback.state import Findings, Mode
from tests.drill.trace import SeenLook, SeenRun, Trace
from tests.unit.fallback.conftest import T0
from vigil.events import derived_id

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACES = Path(__file__).with_name("traces")
HOURS = 72
SEED = 20260302
ESTATES = 2
LATE_S = canary.LATE.total_seconds()


def recorded() -> list[Trace]:
    paths = sorted(TRACES.glob("*.json"))
    return [msgspec.json.decode(path.read_bytes(), type=Trace) for path in paths]


def is_outage(trace: Trace) -> bool:
    """Whether residents were not served for so long that people have to be told (issue 8)."""
    for estate in range(ESTATES):
        runs = [run for run in trace.runs if run.estate == estate]
        late = [not run.stages.get(Stage.ACKNOWLEDGED, trace.seconds) <= LATE_S for run in runs]
        if any(first and second for first, second in pairwise(late)):
            return True
    return False


CARE = [trace for trace in recorded() if not is_outage(trace)]


class Replay:
    """The watchdog's decisions alone, over what was seen."""

    def __init__(self, services: set[str]) -> None:
        self.declared: list[str] = []
        self.seconds = 0.0
        self._processes = {name: Process(name, name) for name in sorted(services)}
        self._runs: list[list[Run]] = [[] for _ in range(ESTATES)]
        self._canaries = [Findings()] * ESTATES
        self._services = Findings()
        self._verdicts = [state.begin(T0)] * ESTATES
        self._made = 0

    def play(self, trace: Trace) -> None:
        """Play a trace after what was played so far."""
        began = T0 + timedelta(seconds=self.seconds)
        for at_s, together in groupby(in_order(trace), key=lambda pair: pair[0]):
            now = began + timedelta(seconds=at_s)
            self._take([seen for _, seen in together], began, now)
            self._look(trace.kind, now)
        self.seconds += trace.seconds

    def _take(self, together: list[SeenRun | SeenLook], began: datetime, now: datetime) -> None:
        for seen in together:
            if isinstance(seen, SeenRun):
                runs = [*self._runs[seen.estate], self._judged(seen, began, now)][-canary.KEPT :]
                self._runs[seen.estate] = runs
                self._canaries[seen.estate] = canary.findings(runs)
            else:
                process = self._processes[seen.service]
                self._processes[seen.service] = liveness.looked(
                    process, seen.wrong, now, seen.progress, answers=seen.answers
                )
        if any(isinstance(seen, SeenLook) for seen in together):
            self._services = liveness.findings(list(self._processes.values()))

    def _judged(self, seen: SeenRun, began: datetime, now: datetime) -> Run:
        self._made += 1
        made_at = began + timedelta(seconds=seen.made_s)
        run = Run(derived_id("replay", self._made), f"e{seen.estate}", "n", made_at)
        for stage, seconds in seen.stages.items():
            if made_at + timedelta(seconds=seconds) <= now:
                run = canary.stamped(run, stage, made_at + timedelta(seconds=seconds))
        judged = canary.judged(run, now)
        assert judged.judgement is not Judgement.PENDING
        return judged

    def _look(self, kind: str, now: datetime) -> None:
        services = self._services
        for number, canaries in enumerate(self._canaries):
            found = Findings(services.hard + canaries.hard, services.soft + canaries.soft)
            before, after = self._verdicts[number], state.look(self._verdicts[number], found, now)
            if after.mode is Mode.FALLBACK and before.mode is not Mode.FALLBACK:
                self.declared.append(f"{kind}: {[(c.code, c.subject, c.detail) for c in after.causes]}")
            self._verdicts[number] = state.begin(now) if after.mode is Mode.FALLBACK else after


def in_order(trace: Trace) -> Iterator[tuple[float, SeenRun | SeenLook]]:
    """Yield what was seen, each when it is judged: a canary when it is back, or late."""
    seen: list[tuple[float, SeenRun | SeenLook]] = [(look.at_s, look) for look in trace.looks]
    for run in trace.runs:
        back_s = run.stages.get(Stage.ACKNOWLEDGED, LATE_S + 1)
        seen.append((run.made_s + (back_s if back_s <= LATE_S else LATE_S + 0.25), run))
    yield from sorted(seen, key=lambda pair: pair[0])


def composed(traces: list[Trace], hours: float, seed: int) -> Replay:
    """Replay traces drawn by lot until the hours are full."""
    rng = Random(seed)
    replay = Replay({look.service for trace in traces for look in trace.looks})
    while replay.seconds < hours * 3600:
        replay.play(rng.choice(traces))
    return replay


def test_every_kind_of_care_was_recorded_without_an_outage() -> None:
    kinds = {trace.kind for trace in CARE}
    assert {"calm", "rebalance", "rolling deployment"} <= kinds
    for what in ("restart", "kill"):
        assert {f"{what} of {name}" for name in ("processors", "ingest", "api")} <= kinds
    assert {f"restart of {name}" for name in ("broker", "postgres")} <= kinds


@pytest.mark.parametrize("trace", CARE, ids=lambda trace: trace.kind)
def test_what_is_done_to_a_platform_in_ordinary_care_is_no_fallback(trace: Trace) -> None:
    replay = Replay({look.service for look in trace.looks})
    replay.play(trace)
    assert replay.declared == []


def test_seventy_two_hours_of_care_without_a_pause_declare_nothing() -> None:
    replay = composed(CARE, HOURS, SEED)
    assert replay.declared == []
    assert replay.seconds >= HOURS * 3600


def test_care_that_leaves_residents_unserved_is_declared_like_any_outage() -> None:
    for trace in (trace for trace in recorded() if is_outage(trace)):
        replay = Replay({look.service for look in trace.looks})
        replay.play(trace)
        assert replay.declared != [], trace.kind


def test_the_replay_would_see_a_platform_that_fails() -> None:
    calm = next(trace for trace in recorded() if trace.kind == "calm")
    dead = [SeenRun(run.estate, run.made_s, {Stage.PUBLISHED: 0.01}) for run in calm.runs]
    replay = Replay({look.service for look in calm.looks})
    replay.play(msgspec.structs.replace(calm, runs=dead))
    assert replay.declared != []
