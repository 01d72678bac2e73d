from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.missing import count, lasting
from vigil.store.gaps import Gap


def gap(first: int, last: int, lane: str = "alarm", node: str = "n1") -> Gap:
    return Gap(node, "1-0000abcd", lane, first, last)


def test_what_was_missing_at_both_looks_lasts_and_what_came_meanwhile_does_not() -> None:
    before = [gap(3, 9), gap(12, 12), gap(1, 1, node="n2")]
    now = [gap(5, 7), gap(9, 9), gap(20, 25), gap(1, 1, node="n3")]
    assert lasting(before, now) == [gap(5, 7), gap(9, 9)]
    assert count(lasting(before, now)) == {"alarm": 4}


def test_each_lane_is_counted_by_itself() -> None:
    assert count([gap(1, 10), gap(2, 2, "event"), gap(4, 4, "event", "n2")]) == {"alarm": 10, "event": 2}
    assert count([]) == {}


ranges = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 5)), max_size=6)


def numbers(gaps: list[Gap]) -> set[int]:
    return {number for one in gaps for number in range(one.first, one.last + 1)}


def holes(some: list[tuple[int, int]]) -> list[Gap]:
    """Gaps as the view gives them: in order, apart from each other."""
    missing = sorted({number for first, more in some for number in range(first, first + more + 1)})
    found: list[Gap] = []
    for number in missing:
        if found and found[-1].last == number - 1:
            found[-1] = gap(found[-1].first, number)
        else:
            found.append(gap(number, number))
    return found


@given(ranges, ranges)
def test_what_lasts_is_exactly_what_both_looks_missed(
    before: list[tuple[int, int]], now: list[tuple[int, int]]
) -> None:
    both = lasting(holes(before), holes(now))
    assert numbers(both) == numbers(holes(before)) & numbers(holes(now))
    assert sum(count(both).values()) == len(numbers(both))
