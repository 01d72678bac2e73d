from __future__ import annotations

from datetime import timedelta

from fallback.liveness import MISSED, STARTING, Process, findings, looked
from tests.unit.fallback.conftest import T0
from vigil.progress import Work

A1 = Process("api", "http://a1/readyz")
A2 = Process("api", "http://a2/readyz")


def missed(process: Process, times: int) -> Process:
    for number in range(times):
        process = looked(process, "ConnectError", T0 + timedelta(seconds=5 * number))
    return process


def test_one_missed_look_is_nothing() -> None:
    assert findings([missed(A1, MISSED - 1)]).causes == ()


def test_three_missed_looks_are_a_failure_since_the_first_of_them() -> None:
    found = findings([missed(A1, MISSED)])
    assert [(cause.subject, cause.since, cause.detail) for cause in found.hard] == [
        ("api", T0, "ConnectError")
    ]


def test_an_answer_forgets_the_misses() -> None:
    process = looked(missed(A1, 2), None, T0)
    assert missed(process, MISSED - 1).failed is False


def test_a_service_stands_while_one_of_its_processes_does() -> None:
    found = findings([missed(A1, MISSED), looked(A2, None, T0)])
    assert (found.hard, len(found.soft)) == ((), 1)


def test_a_service_fails_when_all_of_its_processes_do() -> None:
    assert len(findings([missed(A1, MISSED), missed(A2, MISSED)]).hard) == 1


def looks(*works: Work) -> Process:
    process = A1
    for number, work in enumerate(works):
        process = looked(process, None, T0 + timedelta(seconds=5 * number), {"bulk": work})
    return process


def test_a_process_that_answers_and_does_not_move_while_work_waits_is_failed() -> None:
    process = looks(*[Work(7, 3)] * (MISSED + 1))
    assert process.failed
    assert process.detail == "bulk: 3 waiting, none done"
    assert looks(*[Work(7, 3)] * MISSED).failed is False


def test_a_process_that_moves_however_slowly_is_none_that_stands_still() -> None:
    assert looks(*[Work(done, 500) for done in range(20)]).missed == 0


def test_a_process_without_work_need_not_move() -> None:
    assert looks(*[Work(7, 0)] * 20).missed == 0


def test_work_that_has_just_come_is_none_that_waited() -> None:
    assert looks(Work(7, 0), Work(7, 3), Work(10, 0), Work(10, 2), Work(12, 0)).missed == 0


def test_a_process_that_was_started_anew_has_moved() -> None:
    assert looks(Work(700, 3), Work(0, 3), Work(2, 1)).missed == 0


def seen(*answers: str | None) -> Process:
    """A process that gave these answers: None is ready, an empty one no answer at all."""
    process = A1
    for number, wrong in enumerate(answers):
        at = T0 + timedelta(seconds=5 * number)
        process = looked(process, "ConnectError" if wrong == "" else wrong, at, answers=wrong != "")
    return process


def test_a_process_that_is_started_anew_has_half_a_minute_to_become_ready() -> None:
    assert seen(None, "", "not joined", "not joined", "not claimed").failed is False
    assert seen(None, "", *["not joined"] * (STARTING - 1)).failed


def test_a_process_that_was_ready_and_says_that_it_no_longer_is_fails_after_three_looks() -> None:
    assert seen(None, *["MQTT connection is down"] * MISSED).failed


def test_a_process_that_starts_and_dies_again_is_failed_at_once() -> None:
    assert seen(None, "", "not joined", "").failed


def test_once_ready_a_process_is_no_longer_starting() -> None:
    assert seen("", "not joined", None, *["MQTT connection is down"] * MISSED).failed


def test_no_processes_are_no_finding() -> None:
    assert findings([]).causes == ()
