"""Who may fail how often."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.limits import BURST_S, FAILURES, LIFELINE, WINDOW, Failures, Rate, source_of
from api.oidc import read_roles
from api.permissions import ROUTES
from api.second_factor import STEP_S, new_recovery_codes, new_secret, qr, step_of, uri

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_source_is_refused_after_its_failures_until_the_window_has_passed() -> None:
    failures = Failures()
    for _ in range(FAILURES):
        assert not failures.exhausted("one", NOW)
        failures.note("one", NOW)
    assert failures.exhausted("one", NOW + WINDOW - timedelta(seconds=1))
    assert not failures.exhausted("other", NOW)
    assert not failures.exhausted("one", NOW + WINDOW)


def test_sources_without_number_are_forgotten_the_oldest_first() -> None:
    failures = Failures()
    for n in range(10_001):
        failures.note(str(n), NOW)
    assert len(failures._by_source) == 10_000
    assert "0" not in failures._by_source


@given(st.lists(st.floats(0, 5), max_size=200), st.floats(1, 50))
def test_nobody_gets_more_than_the_burst_and_the_rate_and_whoever_waits_as_told_gets_in(
    pauses: list[float], a_second: float
) -> None:
    rate, now = Rate(a_second), 100.0
    for taken, pause in enumerate(pauses, 1):
        now += pause / a_second
        wait = rate.take("one", now)
        if wait > 0:
            now += wait + 1e-6
            assert rate.take("one", now) == 0
        assert taken <= BURST_S * a_second + (now - 100) * a_second + 1


def test_a_whole_burst_comes_through_and_one_source_waits_for_no_other() -> None:
    rate = Rate(10)
    assert all(rate.take("one", 5.0) == 0 for _ in range(round(BURST_S * 10) - 1))
    assert max(rate.take("one", 5.0) for _ in range(3)) == pytest.approx(0.1)
    assert rate.take("other", 5.0) == 0
    assert rate.take("one", 5.2) == 0


def test_what_is_refused_does_not_make_the_wait_longer() -> None:
    rate = Rate(1)
    for _ in range(round(BURST_S)):
        rate.take("one", 0.0)
    assert {rate.take("one", 0.0) for _ in range(100)} == {1.0}


def test_what_is_remembered_of_sources_is_bounded() -> None:
    rate = Rate(1)
    for n in range(10_100):
        rate.take(str(n), 0.0)
    assert len(rate._whole_at) == 10_000


def test_what_acts_on_an_alert_and_the_live_stream_are_lifelines_and_lists_are_none() -> None:
    steps = ("acknowledge", "attend", "resolve", "hand-up", "tasks", "hand-to-fallback")
    assert {f"POST /api/v1/alerts/{{alert}}/{step}" for step in steps} <= LIFELINE
    assert {"GET /api/v1/stream", "POST /take/{link}", "POST /answer/{link}"} <= LIFELINE
    assert {"GET /api/v1/fallback/snapshot", "POST /api/v1/tasks/{task}/report"} <= LIFELINE
    assert not {"GET /api/v1/alerts", "POST /api/v1/session", "GET /api/v1/residents", "GET /"} & LIFELINE
    assert set(ROUTES) >= LIFELINE


def test_an_ipv6_network_counts_as_one_address() -> None:
    assert source_of("2001:db8::1") == source_of("2001:db8::ffff:1") != source_of("2001:db8:0:1::1")
    assert source_of("192.0.2.1") != source_of("192.0.2.2")
    assert source_of(None) == "unknown"


def test_a_code_is_right_for_its_step_and_the_ones_beside_it() -> None:
    import pyotp

    secret = new_secret()
    code = pyotp.TOTP(secret).at(NOW)
    present = int(NOW.timestamp()) // STEP_S
    for apart in (-1, 0, 1):
        assert step_of(secret, code, NOW + timedelta(seconds=STEP_S * apart)) == present
    assert step_of(secret, code, NOW + timedelta(seconds=2 * STEP_S)) is None


def test_an_authenticator_reads_the_uri_from_the_drawn_code() -> None:
    """The picture's own strokes are read, as a camera would see them."""
    import cv2
    import numpy as np

    meant = uri(new_secret(), "li.na")
    drawn = qr(meant)
    size = int(re.search(r"M0 0h(\d+)v", drawn)[1])  # type: ignore[index]  # the light ground
    seen = np.full((size, size), 255, np.uint8)
    x = y = 0
    for verb, a, b in re.findall(r"([Mmh])(-?\d+)(?: ?(-?[\d.]+))?", drawn.split('stroke="#000" d="')[1]):
        if verb == "h":
            seen[y, x : x + int(a)] = 0
            x += int(a)
        else:
            x, y = (int(a), int(float(b))) if verb == "M" else (x + int(a), y + int(float(b)))
    text, *_ = cv2.QRCodeDetector().detectAndDecode(np.kron(seen, np.ones((8, 8), np.uint8)))
    assert text == meant


def test_the_drawn_code_is_good_under_a_strict_content_policy() -> None:
    assert not re.search(r"style|script|href|url\(|<image|\son", qr(uri(new_secret(), "li.na")))


def test_recovery_codes_differ_and_can_be_read_out() -> None:
    codes = new_recovery_codes()
    assert len(set(codes)) == len(codes) == 10
    assert all([len(part) for part in code.split("-")] == [5] * 4 for code in codes)


def test_roles_are_read_in_their_order() -> None:
    assert list(read_roles("leaders=supervisor, officers=duty_officer").items()) == [
        ("leaders", "supervisor"),
        ("officers", "duty_officer"),
    ]
