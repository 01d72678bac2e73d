from __future__ import annotations

from datetime import timedelta

from fallback.liveness import MISSED, Process, findings, looked
from tests.unit.fallback.conftest import T0

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


def test_no_processes_are_no_finding() -> None:
    assert findings([]).causes == ()
