"""A task's life, and who goes to a door."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.escalation.policies import Channel
from api.escalation.rota import Contact, Person, Rota, Shift
from api.visits import ENDS, OPEN, Beat, Report, Stage, Standing, TaskState, choose, decide
from vigil.errors import Rejected

NOW = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
GIVEN = Standing(TaskState.GIVEN, Stage.KNOCK, key_holder=True)


def after(*reports: Report, key_holder: bool = True) -> Standing:
    task = Standing(TaskState.GIVEN, Stage.KNOCK, key_holder)
    for report in reports:
        task = decide(task, report)
    return task


def test_no_answer_leads_to_the_key_holder_and_then_to_the_emergency_services() -> None:
    assert after(Report.NO_ANSWER).stage is Stage.KEY_HOLDER
    assert after(Report.NO_ANSWER, Report.NO_ANSWER).stage is Stage.EMERGENCY
    assert after(Report.NO_ANSWER, key_holder=False).stage is Stage.EMERGENCY


def test_who_needs_help_has_the_emergency_services_called_at_once() -> None:
    task = after(Report.NEEDS_HELP)
    assert (task.state, task.stage) == (TaskState.ACCEPTED, Stage.EMERGENCY)
    assert decide(task, Report.EMERGENCY_CALLED).outcome == "emergency"


@pytest.mark.parametrize("report", sorted(ENDS))
def test_what_was_found_ends_the_task(report: Report) -> None:
    assert after(Report.ACCEPTED, report).state is TaskState.DONE


@pytest.mark.parametrize("end", [Report.SEEN_WELL, Report.WITHDRAWN])
@pytest.mark.parametrize("report", Report)
def test_what_is_over_stays_over(end: Report, report: Report) -> None:
    with pytest.raises(Rejected, match="not_allowed"):
        decide(after(end), report)


@given(st.lists(st.sampled_from(Report), max_size=12), st.booleans())
def test_no_answer_never_ends_a_task_and_no_stage_goes_back(reports: list[Report], key_holder: bool) -> None:
    task, order = Standing(TaskState.GIVEN, Stage.KNOCK, key_holder), list(Stage)
    for report in reports:
        try:
            new = decide(task, report)
        except Rejected:
            continue
        assert order.index(new.stage) >= order.index(task.stage)
        assert (new.state in OPEN) == (report not in ENDS and report is not Report.WITHDRAWN)
        task = new


def worker(account: str, *estates: str, reachable: bool = True) -> Person:
    contacts = (Contact(Channel.MESSAGE, "m://", NOW),) if reachable else ()
    return Person(account, "grid_worker", frozenset(estates or ("e1",)), contacts)


def on(account: str) -> Shift:
    return Shift(account, "grid_worker", NOW - timedelta(hours=1), NOW + timedelta(hours=1))


def chosen(rota: Rota, *beats: Beat) -> str | None:
    found = choose(rota, beats, "e1", "3号楼", NOW)
    return found.account if found else None


def test_the_worker_of_the_building_goes_then_the_one_of_the_estate() -> None:
    rota = Rota((worker("a"), worker("b"), worker("c")), (on("a"), on("b"), on("c")))
    assert chosen(rota, Beat("c", "e1", "3号楼"), Beat("b", "e1", "")) == "c"
    assert chosen(rota, Beat("c", "e1", "4号楼"), Beat("b", "e1", "")) == "b"
    assert chosen(rota) == "a"


def test_whoever_is_on_duty_goes_before_whoever_is_at_home_and_who_can_be_reached_before_who_cannot() -> None:
    rota = Rota((worker("a"), worker("b"), worker("c", reachable=False)), (on("b"), on("c")))
    assert chosen(rota, Beat("a", "e1", "3号楼"), Beat("c", "e1", "3号楼")) == "b"
    assert chosen(Rota((worker("a"),), ())) == "a"


def test_an_estate_without_grid_workers_has_nobody_to_send() -> None:
    assert chosen(Rota((worker("far", "e2"), Person("li", "duty_officer", frozenset({"e1"}))), ())) is None
