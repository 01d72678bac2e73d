"""Who may fail how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from api.limits import FAILURES, WINDOW, Failures
from api.oidc import read_roles
from api.second_factor import STEP_S, new_recovery_codes, new_secret, step_of

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


def test_a_code_is_right_for_its_step_and_the_ones_beside_it() -> None:
    import pyotp

    secret = new_secret()
    code = pyotp.TOTP(secret).at(NOW)
    present = int(NOW.timestamp()) // STEP_S
    for apart in (-1, 0, 1):
        assert step_of(secret, code, NOW + timedelta(seconds=STEP_S * apart)) == present
    assert step_of(secret, code, NOW + timedelta(seconds=2 * STEP_S)) is None


def test_recovery_codes_differ_and_can_be_read_out() -> None:
    codes = new_recovery_codes()
    assert len(set(codes)) == len(codes) == 10
    assert all([len(part) for part in code.split("-")] == [5] * 4 for code in codes)


def test_roles_are_read_in_their_order() -> None:
    assert list(read_roles("leaders=supervisor, officers=duty_officer").items()) == [
        ("leaders", "supervisor"),
        ("officers", "duty_officer"),
    ]
