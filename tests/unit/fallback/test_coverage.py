from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fallback import coverage
from fallback.coverage import Interval
from tests.unit.fallback.conftest import T0
from vigil.roster import Protection, Resident


def resident(id_: str, *nodes: str, estate: str = "e1") -> Resident:
    protections = [Protection(f"{id_}-{node}", node, "pendant") for node in nodes]
    return Resident(id=id_, estate=estate, name=id_, risk=1, protections=protections)


def minutes(count: float) -> datetime:
    return T0 + timedelta(minutes=count)


def test_while_everything_holds_nobody_is_unprotected() -> None:
    (one,) = coverage.of([resident("r1", "n1")], {}, {})
    assert (one.unprotected, one.held, one.lost) == (False, ("pendant",), ())


def test_a_lost_node_leaves_its_residents_unprotected_since_it_was_lost() -> None:
    (one,) = coverage.of([resident("r1", "n1")], {}, {"n1": minutes(2)})
    assert (one.since, one.lost[0].why) == (minutes(2), "node")


def test_who_has_another_protection_is_reduced_and_not_unprotected() -> None:
    (one,) = coverage.of([resident("r1", "n1", "n2")], {}, {"n1": minutes(2)})
    assert (one.unprotected, len(one.lost)) == (False, 1)


def test_unprotected_begins_with_the_last_protection() -> None:
    (one,) = coverage.of([resident("r1", "n1", "n2")], {}, {"n1": minutes(2), "n2": minutes(5)})
    assert one.since == minutes(5)


def test_a_broken_way_takes_every_protection_of_the_estate_and_of_no_other() -> None:
    both = [resident("r1", "n1"), resident("r2", "n2", estate="e2")]
    one, two = coverage.of(both, {"e1": T0}, {})
    assert (one.since, one.lost[0].why, two.unprotected) == (T0, "way", False)


def test_who_has_no_protection_at_all_is_listed_when_the_way_is_broken() -> None:
    (one,) = coverage.of([resident("r1")], {"e1": T0}, {})
    assert one.since == T0


def test_an_interval_begins_once_and_ends_when_nothing_is_lost() -> None:
    begun = coverage.intervals([], {"r1": T0}, minutes(1))
    assert begun == [Interval("r1", T0)]
    assert coverage.intervals(begun, {"r1": minutes(5)}, minutes(6)) == []
    assert coverage.intervals(begun, {}, minutes(7)) == [Interval("r1", T0, minutes(7))]


protections = st.lists(st.sampled_from(["n1", "n2", "n3"]), max_size=3, unique=True)
estates = st.sampled_from(["e1", "e2"])
moments = st.integers(0, 60).map(minutes)


@given(
    st.lists(st.tuples(protections, estates), max_size=12),
    st.dictionaries(estates, moments),
    st.dictionaries(st.sampled_from(["n1", "n2", "n3"]), moments),
)
def test_nobody_is_both_unprotected_and_unlisted(
    homes: list[tuple[list[str], str]], broken: dict[str, datetime], silent: dict[str, datetime]
) -> None:
    residents = [resident(f"r{n}", *nodes, estate=estate) for n, (nodes, estate) in enumerate(homes)]
    found = {each.resident: each for each in coverage.of(residents, broken, silent)}
    unprotected = {id_: each.since for id_, each in found.items() if each.since is not None}
    listed = {each.resident for each in coverage.intervals([], unprotected, minutes(90))}
    for one in residents:
        nothing_holds = one.estate in broken or (
            bool(one.protections) and all(each.node in silent for each in one.protections)
        )
        assert (one.id in listed) is nothing_holds
