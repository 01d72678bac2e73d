"""Calendars as RFC 5545 has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from api.ical import Entry, calendar

NOW = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)


def entry(summary: str) -> Entry:
    return Entry("li-1@vigil", summary, NOW, NOW + timedelta(hours=12))


def test_an_entry_has_its_times_in_utc_and_a_name_that_stays() -> None:
    text = calendar("Vigil", [entry("li: officer")], NOW)
    assert (
        "UID:li-1@vigil\r\nDTSTAMP:20260301T200000Z\r\nDTSTART:20260301T200000Z\r\nDTEND:20260302T080000Z"
        in text
    )


def test_what_means_something_in_a_calendar_is_escaped() -> None:
    assert r"SUMMARY:a\, b\; c\\d\ne" in calendar("Vigil", [entry("a, b; c\\d\ne")], NOW)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=300))
def test_no_line_is_longer_than_75_octets_and_unfolded_it_is_whole(summary: str) -> None:
    text = calendar("Vigil", [entry(summary)], NOW)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    escaped = summary.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    assert f"SUMMARY:{escaped}\r\n" in text.replace("\r\n ", "")
