from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallback.state import (
    CANARY_GOOD,
    SETTLE,
    WATCHDOG,
    Cause,
    Findings,
    Gates,
    Mode,
    Verdict,
    begin,
    begin_recovery,
    close,
    declare,
    look,
    open_gates,
    whole,
)
from vigil.errors import Rejected

T0 = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
HARD = Findings(hard=(Cause("canary", "stored", T0),))
SOFT = Findings(soft=(Cause("canary_late", "stored", T0),))
WELL = Findings()
SECOND = timedelta(seconds=1)


def fallen(at: datetime = T0) -> Verdict:
    return look(begin(at), HARD, at)


def recovering(at: datetime = T0) -> Verdict:
    return begin_recovery(fallen(at), WELL, "person:li", at)


def test_it_begins_normal() -> None:
    assert begin(T0).mode is Mode.NORMAL


def test_a_soft_cause_degrades_and_keeps_the_time_of_its_beginning() -> None:
    first = look(begin(T0), SOFT, T0 + SECOND)
    second = look(first, SOFT, T0 + 5 * SECOND)
    assert (second.mode, second.since, second.causes) == (Mode.DEGRADED, T0 + SECOND, SOFT.soft)


def test_degraded_ends_by_itself_only_after_it_has_settled() -> None:
    verdict = look(begin(T0), SOFT, T0)
    verdict = look(verdict, WELL, T0 + SECOND)
    assert look(verdict, WELL, T0 + SETTLE).mode is Mode.DEGRADED
    assert look(verdict, WELL, T0 + SECOND + SETTLE).mode is Mode.NORMAL


def test_a_relapse_starts_the_settling_anew() -> None:
    verdict = look(look(begin(T0), SOFT, T0), WELL, T0 + SECOND)
    verdict = look(verdict, SOFT, T0 + 30 * SECOND)
    verdict = look(verdict, WELL, T0 + 31 * SECOND)
    assert look(verdict, WELL, T0 + SECOND + SETTLE).mode is Mode.DEGRADED


@pytest.mark.parametrize("verdict", [begin(T0), look(begin(T0), SOFT, T0), recovering()])
def test_a_hard_cause_enters_fallback_from_any_mode(verdict: Verdict) -> None:
    after = look(verdict, HARD, T0 + SECOND)
    assert (after.mode, after.since, after.by) == (Mode.FALLBACK, T0 + SECOND, "system:watchdog")


def test_causes_are_added_while_fallback_lasts_and_never_taken_away() -> None:
    more = Findings(hard=(Cause("service", "api", T0),))
    verdict = look(look(fallen(), more, T0 + SECOND), WELL, T0 + 2 * SECOND)
    assert [cause.code for cause in verdict.causes] == ["canary", "service"]


def test_a_person_declares_with_a_reason() -> None:
    verdict = declare(begin(T0), "person:li", "burst pipe in the server room", T0)
    assert (verdict.mode, verdict.by, verdict.reason) == (
        Mode.FALLBACK,
        "person:li",
        "burst pipe in the server room",
    )


def test_declaring_without_words_is_refused() -> None:
    with pytest.raises(Rejected, match="in words"):
        declare(begin(T0), "person:li", " ", T0)


def test_declaring_twice_is_refused() -> None:
    with pytest.raises(Rejected, match="already"):
        declare(fallen(), "person:li", "again", T0)


def test_recovery_does_not_begin_while_something_is_broken() -> None:
    with pytest.raises(Rejected, match="still broken: canary stored"):
        begin_recovery(fallen(), HARD, "person:li", T0)


def test_recovery_begins_in_fallback_alone() -> None:
    with pytest.raises(Rejected, match="this is normal"):
        begin_recovery(begin(T0), WELL, "person:li", T0)


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        (Gates(None), "canary has not been good for 10 minutes"),
        (Gates(T0 + SECOND), "canary has not been good for 10 minutes"),
        (Gates(T0, unanswered=3), "3 unprotected residents"),
        (Gates(T0, conflicts=1), "1 pairs"),
    ],
)
def test_a_recovery_is_not_closed_before_everything_is_done(gates: Gates, said: str) -> None:
    with pytest.raises(Rejected, match=said):
        close(recovering(), gates, "person:li", T0 + CANARY_GOOD)


def test_a_person_closes_a_recovery_when_everything_is_done() -> None:
    after = close(recovering(), Gates(T0), "person:li", T0 + CANARY_GOOD)
    assert (after.mode, after.by, after.causes) == (Mode.NORMAL, "person:li", ())


def test_a_fallback_is_not_closed_without_a_recovery() -> None:
    with pytest.raises(Rejected, match="this is fallback"):
        close(fallen(), Gates(T0), "person:li", T0 + CANARY_GOOD)


def test_everything_that_is_missing_is_said_at_once() -> None:
    assert len(open_gates(Gates(None, 1, 1), T0)) == 3


def exercise() -> Verdict:
    return declare(begin(T0), "person:li", "exercise", T0, drill=True)


def test_a_drill_stays_a_drill_until_it_is_closed() -> None:
    verdict = begin_recovery(look(exercise(), SOFT, T0), WELL, "person:li", T0)
    assert verdict.drill
    assert not close(verdict, Gates(T0), "person:li", T0 + CANARY_GOOD).drill


def test_what_really_breaks_in_a_drill_takes_its_mark_off_and_people_begin_anew() -> None:
    later = T0 + timedelta(minutes=7)
    verdict = look(exercise(), HARD, later)
    assert (verdict.mode, verdict.drill, verdict.declared_at) == (Mode.FALLBACK, False, later)
    assert (verdict.since, verdict.by) == (T0, WATCHDOG)
    relapsed = look(begin_recovery(exercise(), WELL, "person:li", T0), HARD, later)
    assert (relapsed.mode, relapsed.drill, relapsed.declared_at) == (Mode.FALLBACK, False, later)


def test_what_is_broken_on_purpose_carries_the_drills_mark_until_the_drill_ends() -> None:
    verdict = look(begin(T0), HARD, T0, practising=True)
    assert (verdict.mode, verdict.drill) == (Mode.FALLBACK, True)
    assert look(verdict, HARD, T0, practising=True).drill
    assert not look(verdict, HARD, T0, practising=False).drill
    assert look(begin(T0), SOFT, T0, practising=True).drill


def test_a_component_drill_does_not_mark_a_fallback_that_was_real_before() -> None:
    assert not look(fallen(), HARD, T0, practising=True).drill
    assert not look(recovering(), HARD, T0, practising=True).drill


@pytest.mark.parametrize(
    ("modes", "mode"),
    [
        ([], Mode.NORMAL),
        (["normal", "normal"], Mode.NORMAL),
        (["normal", "degraded"], Mode.DEGRADED),
        (["normal", "fallback"], Mode.DEGRADED),
        (["fallback", "fallback"], Mode.FALLBACK),
        (["recovering", "normal"], Mode.RECOVERING),
    ],
)
def test_the_whole_is_in_fallback_when_every_estate_is(modes: list[str], mode: Mode) -> None:
    assert whole([Verdict(Mode(each), T0) for each in modes]) is mode


looks = st.lists(st.tuples(st.sampled_from([HARD, SOFT, WELL]), st.floats(0, 600)), max_size=40)


@given(looks)
def test_fallback_is_never_left_by_itself(seen: list[tuple[Findings, float]]) -> None:
    verdict, now = fallen(), T0
    for findings, seconds in seen:
        now += timedelta(seconds=seconds)
        verdict = look(verdict, findings, now)
        assert verdict.mode is Mode.FALLBACK
        assert verdict.since == T0


@given(looks)
def test_recovery_never_becomes_normal_by_itself(seen: list[tuple[Findings, float]]) -> None:
    verdict, now = recovering(), T0
    for findings, seconds in seen:
        now += timedelta(seconds=seconds)
        verdict = look(verdict, findings, now)
        assert verdict.mode in (Mode.RECOVERING, Mode.FALLBACK)


@given(looks, st.booleans())
def test_no_drills_mark_outlives_a_hard_cause_outside_of_a_component_drill(
    seen: list[tuple[Findings, float]], practising: bool
) -> None:
    verdict, now = exercise(), T0
    for findings, seconds in seen:
        now += timedelta(seconds=seconds)
        verdict = look(verdict, findings, now, practising=practising)
    assert not look(verdict, HARD, now).drill


@given(looks)
def test_a_hard_cause_always_ends_in_fallback(seen: list[tuple[Findings, float]]) -> None:
    verdict, now = begin(T0), T0
    for findings, seconds in seen:
        now += timedelta(seconds=seconds)
        verdict = look(verdict, findings, now)
    assert look(verdict, HARD, now).mode is Mode.FALLBACK
