from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fallback import rounds
from fallback.rounds import Check, Method, Result, Task
from tests.unit.fallback.conftest import T0
from vigil.roster import Resident


def minutes(count: float) -> datetime:
    return T0 + timedelta(minutes=count)


def resident(id_: str, risk: int = 1, building: str = "1号楼", floor: int = 1) -> Resident:
    return Resident(id=id_, estate="e1", name=id_, risk=risk, building=building, floor=floor, home=id_)


def task(id_: str, risk: int = 1, since: float = 0, attempts: int = 0, **place: object) -> Task:
    return Task(resident(id_, risk, **place), minutes(since), minutes(60), attempts, None)  # type: ignore[arg-type]  # building and floor


def check(id_: str, at: float, result: Result = Result.WELL) -> Check:
    return Check(id_, minutes(at), "li", Method.DOOR, result)


def ids(tasks: list[Task]) -> list[str]:
    return [each.resident.id for each in tasks]


def test_high_risk_is_knocked_at_first_however_short_they_wait() -> None:
    assert ids(rounds.by_urgency([task("low", since=-600), task("high", 3, since=9)], minutes(10))) == [
        "high",
        "low",
    ]


def test_risk_times_minutes_orders_the_others() -> None:
    found = rounds.by_urgency([task("low", 1, since=-20), task("middle", 2, since=-10)], minutes(0))
    assert ids(found) == ["middle", "low"]


def test_who_was_tried_in_vain_comes_after_who_was_not() -> None:
    found = rounds.by_urgency([task("tried", 3, since=-9, attempts=1), task("fresh", 3)], minutes(1))
    assert ids(found) == ["fresh", "tried"]


def test_a_walker_goes_to_the_most_urgent_door_while_the_others_telephone() -> None:
    ordered = rounds.by_urgency([task("high", 3), task("low", 1)], minutes(1))
    assert rounds.next_task(ordered, walks=True) == (task("high", 3), Method.DOOR)
    assert rounds.next_task(ordered, walks=False) == (task("high", 3), Method.PHONE)


def test_a_high_risk_that_did_not_answer_is_visited_before_anybody_else_is_called() -> None:
    ordered = rounds.by_urgency([task("low", 1), task("tried", 3, attempts=1)], minutes(1))
    assert rounds.next_task(ordered, walks=False) == (task("tried", 3, attempts=1), Method.DOOR)


def test_walkers_telephone_too_once_the_high_risk_is_seen() -> None:
    assert rounds.next_task([task("low", 1)], walks=True) == (task("low", 1), Method.PHONE)


def test_nobody_is_left_when_everybody_was_seen() -> None:
    assert rounds.next_task([], walks=True) is None


def test_walking_goes_by_building_and_from_the_top_down() -> None:
    tasks = [
        task("c", building="10号楼", floor=9),
        task("b", building="2号楼", floor=1),
        task("a", building="2号楼", floor=8),
    ]
    assert ids(rounds.by_way(tasks)) == ["a", "b", "c"]


def test_a_resident_stays_open_until_somebody_knows_how_they_are() -> None:
    people, unprotected = {"r1": resident("r1")}, {"r1": T0}
    tried = [check("r1", 1, Result.NO_ANSWER), check("r1", 2, Result.NO_ACCESS)]
    (open_,) = rounds.open_tasks(people, unprotected, tried, {"r1": "li"}, T0)
    assert (open_.attempts, open_.assigned, open_.due) == (2, "li", T0 + timedelta(hours=4))
    assert rounds.open_tasks(people, unprotected, [*tried, check("r1", 3)], {}, T0) == []


def test_a_result_of_before_the_interval_does_not_count() -> None:
    assert len(rounds.open_tasks({"r1": resident("r1")}, {"r1": T0}, [check("r1", -1)], {}, T0)) == 1


def test_high_risk_is_due_in_fifteen_minutes() -> None:
    (open_,) = rounds.open_tasks({"r1": resident("r1", 3)}, {"r1": T0}, [], {}, T0)
    assert open_.due == minutes(15)


def test_progress_tells_tried_seen_and_overdue_apart() -> None:
    people = [resident("seen", 3), resident("late", 3), resident("tried", 3), resident("other")]
    unprotected = dict.fromkeys(["seen", "late", "tried"], T0)
    checks = [check("seen", 14), check("late", 16), check("tried", 3, Result.NO_ANSWER)]
    found = rounds.progress(people, unprotected, checks, T0, minutes(20))
    assert (found.residents, found.contacted, found.seen, found.in_time, found.overdue) == (3, 3, 2, 1, 1)
    assert found.last_min is None


def test_the_last_one_seen_ends_the_round() -> None:
    found = rounds.progress([resident("r1")], {"r1": T0}, [check("r1", 7)], T0, minutes(9))
    assert found.last_min == 7


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 18)), max_size=60),
    st.integers(1, 12),
)
def test_dealing_sends_somebody_to_everybody_and_nobody_far_more_than_others(
    homes: list[tuple[int, int, int]], staff: int
) -> None:
    tasks = [
        task(f"r{n}", risk, building=f"{building}号楼", floor=floor)
        for n, (risk, building, floor) in enumerate(homes)
    ]
    names = [f"h{n}" for n in range(staff)]
    dealt = rounds.share(tasks, names)
    assert dealt.keys() == {each.resident.id for each in tasks}
    loads = [list(dealt.values()).count(name) for name in names]
    assert max(loads) - min(loads) <= 2  # one for each of the two groups


def test_nobody_is_dealt_to_nobody() -> None:
    assert rounds.share([task("r1")], []) == {}
