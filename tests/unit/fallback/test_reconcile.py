from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallback import reconcile
from fallback.reconcile import LateAlert, Match
from fallback.rounds import Check, Method, Result
from tests.unit.fallback.conftest import T0


def alert(at: float = 0, kind: str = "fall", resident: str = "r1", id_: str = "a1") -> LateAlert:
    return LateAlert(id_, resident, kind, T0 + timedelta(minutes=at))


def check(
    at: float, result: Result = Result.WELL, *, fell: bool | None = None, resident: str = "r1"
) -> Check:
    return Check(resident, T0 + timedelta(minutes=at), "li", Method.DOOR, result, fell)


@pytest.mark.parametrize(
    ("alerts", "checks", "matches"),
    [
        ([alert()], [check(5, Result.HELPED, fell=True)], ["matched"]),
        ([alert()], [check(5, Result.HOSPITAL)], ["matched"]),
        ([alert()], [check(5, fell=False)], ["conflict"]),
        ([alert()], [check(5, Result.AWAY)], ["conflict"]),
        ([alert()], [], ["event_only"]),
        ([alert()], [check(-5, fell=True)], ["event_only", "paper_only"]),
        ([alert()], [check(5, Result.NO_ANSWER)], ["event_only"]),
        ([alert(kind="sos")], [check(5)], ["matched"]),
        ([alert(kind="sos")], [check(5, Result.AWAY)], ["conflict"]),
        ([], [check(5, Result.HELPED)], ["paper_only"]),
        ([], [check(5)], []),
        ([alert()], [check(60 * 13, fell=True)], ["event_only", "paper_only"]),
        ([alert()], [check(5, fell=True, resident="r2")], ["event_only", "paper_only"]),
    ],
)
def test_papers_and_events_are_classed(
    alerts: list[LateAlert], checks: list[Check], matches: list[str]
) -> None:
    assert [pair.match for pair in reconcile.reconcile(alerts, checks)] == matches


def test_a_result_may_answer_several_alerts_of_one_fall() -> None:
    pairs = reconcile.reconcile([alert(0, id_="a1"), alert(1, id_="a2")], [check(5, fell=True)])
    assert [pair.match for pair in pairs] == ["matched", "matched"]


def test_conflicts_and_unanswered_alerts_wait_for_a_person() -> None:
    pairs = reconcile.reconcile([alert(), alert(resident="r2", id_="a2")], [check(5, fell=False)])
    assert {pair.key for pair in reconcile.undecided(pairs, set())} == {"alert:a1", "alert:a2"}
    assert [pair.key for pair in reconcile.undecided(pairs, {"alert:a1"})] == ["alert:a2"]


def test_only_who_was_seen_since_it_happened_does_not_page_again() -> None:
    assert reconcile.closes(check(5), alert(0))
    assert not reconcile.closes(check(-5), alert(0))
    assert not reconcile.closes(check(5, Result.NO_ANSWER), alert(0))
    assert not reconcile.closes(check(5, resident="r2"), alert(0))


times = st.integers(-60, 600)
alerts_ = st.lists(
    st.tuples(times, st.sampled_from(["fall", "sos"]), st.sampled_from(["r1", "r2"])), max_size=8
)
checks_ = st.lists(
    st.tuples(
        times,
        st.sampled_from(list(Result)),
        st.sampled_from([None, True, False]),
        st.sampled_from(["r1", "r2"]),
    ),
    max_size=8,
)


@given(alerts_, checks_)
def test_every_alert_stands_in_exactly_one_pair_and_every_need_in_one_at_least(
    alerts: list[tuple[int, str, str]], checks: list[tuple[int, Result, bool | None, str]]
) -> None:
    late = [alert(at, kind, resident, f"a{n}") for n, (at, kind, resident) in enumerate(alerts)]
    found = [check(at, result, fell=fell, resident=resident) for at, result, fell, resident in checks]
    pairs = reconcile.reconcile(late, found)
    assert sorted(pair.alert.id for pair in pairs if pair.alert) == sorted(each.id for each in late)
    shown = [pair.check for pair in pairs if pair.check]
    assert all(
        each in shown or any(other.at == each.at and other.resident == each.resident for other in shown)
        for each in found
        if each.result in (Result.HELPED, Result.HOSPITAL)
    )
    assert all((pair.match is Match.EVENT_ONLY) == (pair.check is None) for pair in pairs)
