from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from fallback import configuration, drills
from fallback.drills import Happened
from fallback.rounds import Check, Method, Progress, Result
from tests.unit.fallback.conftest import T0


def seconds(count: float) -> datetime:
    return T0 + timedelta(seconds=count)


def paper(fell: bool | None = False, result: Result = Result.WELL) -> Check:
    return Check("r1", seconds(120), "li", Method.DOOR, result, fell, source="paper", form=1)


GOOD = Happened(T0, seconds(20), seconds(25))
ALL = Progress(residents=10, contacted=10, seen=10, in_time=10, overdue=0, last_min=12)


def test_a_good_drill_opens_no_action() -> None:
    measures = drills.measure(GOOD, [paper()], ALL, 20, 19)
    assert [each.name for each in measures if not each.met] == []
    assert drills.actions(measures, "li", T0) == []


@pytest.mark.parametrize(
    ("happened", "progress", "checks", "steps", "missed"),
    [
        (Happened(T0, None, None), ALL, [paper()], 19, {"detected", "informed", "first_contact"}),
        (Happened(T0, seconds(31), seconds(61)), ALL, [paper()], 19, {"detected", "informed"}),
        (GOOD, Progress(10, 10, 10, 9, 0, 300), [paper()], 19, {"in_time"}),
        (GOOD, ALL, [paper(), paper(None)], 19, {"forms"}),
        (GOOD, ALL, [paper()], 18, {"steps"}),
        (GOOD, ALL, [], 19, {"first_contact"}),
    ],
)
def test_what_missed_its_goal_becomes_an_action_with_an_owner(
    happened: Happened, progress: Progress, checks: list[Check], steps: int, missed: set[str]
) -> None:
    measures = drills.measure(happened, checks, progress, 20, steps)
    assert {each.name for each in measures if not each.met} == missed
    opened = drills.actions(measures, "li", T0)
    assert [(each.owner, each.due_at) for each in opened] == [("li", T0 + drills.ACTION_DUE)] * len(missed)


def test_a_form_about_a_closed_door_need_not_say_whether_somebody_fell() -> None:
    measures = drills.measure(GOOD, [paper(None, Result.NO_ACCESS)], ALL, 0, 0)
    assert all(each.met for each in measures)


def test_only_steps_that_were_due_are_asked_for() -> None:
    (platform,) = [each for each in configuration.library() if each.id == "platform"]
    due = drills.due_steps([platform], timedelta(minutes=5))
    assert [step for _, step in due] == [f"platform-{n}" for n in range(1, 6)]
