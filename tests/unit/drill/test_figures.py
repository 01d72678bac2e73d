from __future__ import annotations

from tests.drill.figures import Figures, percentile, report, unmet

WELL = {"fault": "api", "detected_s": 13.0, "declared_s": 14.0, "informed_s": 14.1, "pack_age_s": 60.0}


def figures(*faults: dict[str, object], **more: object) -> Figures:
    said = {"shortfall_said": "Short by 12 people", "high_max": 14.0, "all_max": 90.0}
    return Figures(faults=list(faults), **{**said, **more})  # type: ignore[arg-type]  # plain figures


def test_a_drill_that_reaches_every_goal_has_nothing_unmet() -> None:
    found = report(figures(WELL), 7)
    assert unmet(found) == []
    assert (found["declared_p95_s"], found["declared_max_s"], found["seed"]) == (14.0, 14.0, 7)


def test_a_fault_that_could_not_be_played_is_not_passed_over() -> None:
    found = report(figures(WELL, {"fault": "disk", "error": "after 90 s: disk declared"}), 7)
    assert unmet(found) == ["disk: after 90 s: disk declared"]


def test_a_drill_without_any_fault_reaches_nothing() -> None:
    assert len(unmet(report(figures(), 7))) == 2


def test_each_goal_that_is_missed_is_named() -> None:
    found = report(figures(WELL | {"declared_s": 61.0}, missed=1, false_fallbacks=2, shortfall_said=""), 7)
    assert unmet(found) == [
        "declared_p95_s is 61.0, at most 30",
        "declared_max_s is 61.0, at most 60",
        "residents_missed is 1, at most 0",
        "false_fallbacks is 2, at most 0",
        "the shortfall was not said",
    ]


def test_the_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([1.0, 2.0, 3.0, 40.0], 0.95) == 40.0
    assert percentile([], 0.95) is None
