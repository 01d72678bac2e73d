"""Policies as data."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.escalation.policies import DEFAULTS, Channel, Policy, Stored, Target, choose, read, timeline
from vigil.alerts import Priority


def stored(name: str, version: int = 1, **where: object) -> Stored:
    policy = Policy(name, version, DEFAULTS[Priority.CRITICAL].steps)
    return Stored(policy, "critical", **where)  # type: ignore[arg-type]


def chosen(policies: list[Stored], hour: int = 12) -> str:
    policy = choose(policies, Priority.CRITICAL, "e1", "fall", hour)
    return f"{policy.name}/{policy.version}"


@pytest.mark.parametrize("priority", Priority)
def test_every_priority_has_a_built_in_policy_that_begins_at_once(priority: Priority) -> None:
    assert timeline(DEFAULTS[priority])[0].wait_s == 0
    assert choose([], priority, "e1", "fall", 0) is DEFAULTS[priority]


def test_the_newest_version_applies() -> None:
    assert chosen([stored("a", 1), stored("a", 3), stored("a", 2)]) == "a/3"


def test_the_more_specific_goes_before_the_newer() -> None:
    assert chosen([stored("all", 9), stored("estate", estate="e1")]) == "estate/1"
    assert chosen([stored("kind", kind="fall"), stored("estate", estate="e1")]) == "estate/1"
    assert chosen([stored("other", estate="e2"), stored("all")]) == "all/1"


@pytest.mark.parametrize(("hour", "expected"), [(23, "night"), (3, "night"), (7, "day"), (21, "day")])
def test_hours_may_lie_past_midnight(hour: int, expected: str) -> None:
    night = stored("night", from_hour=22, to_hour=6)
    assert chosen([night, stored("day")], hour) == f"{expected}/1"


@given(st.sampled_from(Priority))
def test_a_timeline_is_in_order_and_labels_exactly_the_repeats(priority: Priority) -> None:
    policy = DEFAULTS[priority]
    entries = timeline(policy)
    assert [e.wait_s for e in entries] == sorted(e.wait_s for e in entries)
    assert sum(e.repeat for e in entries) == sum(step.repeats for step in policy.steps)


@given(st.sampled_from(Priority))
def test_a_policy_is_the_same_after_the_database(priority: Priority) -> None:
    assert read(msgspec.json.decode(msgspec.json.encode(DEFAULTS[priority]))) == DEFAULTS[priority]


def test_a_policy_that_is_not_one_is_refused_with_the_field() -> None:
    with pytest.raises(msgspec.ValidationError, match="target"):
        read({"name": "x", "version": 1, "steps": [{"wait_s": 0, "target": "nobody", "channel": "voice"}]})


DESIGN = (
    (0, Target.OFFICERS, Channel.CONSOLE),
    (0, Target.OFFICERS, Channel.MESSAGE),
    (30, Target.OFFICERS, Channel.VOICE),
    (120, Target.SUPERVISOR, Channel.VOICE),
    (120, Target.SHIFT, Channel.VOICE),
    (180, Target.PHONE_TREE, Channel.VOICE),
)
"""The design's table for critical alerts; its "second officer" at 60 s is one of the officers at 0 s."""


@pytest.mark.parametrize(("wait_s", "target", "channel"), DESIGN)
def test_a_critical_alert_reaches_nobody_later_than_the_design_says(
    wait_s: float, target: Target, channel: Channel
) -> None:
    entries = timeline(DEFAULTS[Priority.CRITICAL])
    assert min(e.wait_s for e in entries if (e.target, e.channel) == (target, channel)) <= wait_s
