"""What growth takes: the document is what its figures say, and the figures add up."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.capacity.__main__ import DOCUMENT, FIGURES, SIZES, read, render
from deploy.capacity.model import KEPT_DAYS, Assumed, a_shard, a_year_tb, need

MEASURED = read(FIGURES.read_text(encoding="utf-8"))
SCHEMA = DOCUMENT.parent / "reference/schema.md"


def test_the_document_is_what_the_figures_say() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(MEASURED, Assumed()), "python -m deploy.capacity"


@pytest.mark.parametrize("lane", ["telemetry", "event", "health"])
def test_what_is_kept_is_what_retention_keeps(lane: str) -> None:
    found = re.search(rf"^\| `{lane}` \| (\d+) days", SCHEMA.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    assert timedelta(days=KEPT_DAYS[lane]) == timedelta(days=int(found[1]))


def test_a_figure_that_was_not_measured_is_named() -> None:
    with pytest.raises(ValueError, match="whole_way_events_s"):
        read('{"whole_way_events_s": null, "cpu_100k_vs_100": 1, "state_mb_per_10k": 1, "drain_vs_live": 1, '
             '"cores": 2, "quick": false}')  # fmt: skip


@given(communities=st.integers(1, 5000))
def test_no_shard_is_given_more_than_it_carries(communities: int) -> None:
    assert max(need(communities, MEASURED, Assumed()).load.values()) <= 1


@given(communities=st.integers(1, 5000))
def test_the_shards_take_every_community(communities: int) -> None:
    assert need(communities, MEASURED, Assumed()).shards * a_shard(MEASURED, Assumed()) >= communities


def test_a_slower_machine_needs_more_shards_once_it_is_what_breaks_first() -> None:
    slow = replace(MEASURED, whole_way_events_s=1500)
    assert need(1000, slow, Assumed()).shards > need(1000, MEASURED, Assumed()).shards
    assert need(1000, slow, Assumed()).first == "the whole way's processor time"


def test_a_resident_of_many_communities_costs_no_more_than_one_of_one() -> None:
    costs = [need(size, MEASURED, Assumed()).cost for size in SIZES]
    assert costs == sorted(costs, reverse=True)


def test_compression_makes_less_of_it() -> None:
    assert a_year_tb(packed=True) < a_year_tb(packed=False)
