from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from fallback import standing
from fallback.standing import Beat, Judge, Standing, Unanswered
from tests.unit.fallback.conftest import T0
from vigil.errors import Unavailable

WELL = {"processors-host-7": 2, "ingest-1": 1, "escalator-1-auditor": 14}


def said(
    consoles: int = 1,
    unanswered: list[Unanswered] | None = None,
    ages: dict[str, int] | None = None,
) -> Standing:
    beats = WELL | (ages or {})
    heartbeats = [Beat(name, T0 - timedelta(seconds=age), {}) for name, age in beats.items()]
    return Standing(T0, consoles, heartbeats, unanswered or [])


def wrong(judge: Judge, found: Standing, seconds: float = 0) -> dict[str, str]:
    notes = judge.notes(found, T0 + timedelta(seconds=seconds))
    return {f"{note.code}{note.estate}": note.wrong for note in notes if note.wrong}


def test_a_platform_that_stands_well_has_nothing_wrong() -> None:
    assert wrong(Judge(["e1"]), said()) == {}


def test_alerts_that_nobody_answers_are_noted_where_they_wait_and_until_they_are_answered() -> None:
    judge = Judge(["e1", "e2"])
    waiting = [Unanswered("e2", 3, T0 - timedelta(minutes=7))]
    assert wrong(judge, said(unanswered=waiting)) == {"unanswerede2": "3 · 7 min"}
    assert wrong(judge, said()) == {}


@pytest.mark.parametrize(
    ("process", "age"), [("processors-host-7", 16), ("ingest-1", 16), ("escalator-1-auditor", 46)]
)
def test_three_missed_heartbeats_of_the_last_process_of_a_kind_are_noted(process: str, age: int) -> None:
    assert wrong(Judge([]), said(ages={process: age})) == {"beat": f"{process.partition('-')[0]} {age} s"}


def test_an_old_process_is_no_trouble_while_another_of_its_kind_lives() -> None:
    assert wrong(Judge([]), said(ages={"processors-host-6": 500})) == {}


def test_a_kind_of_process_that_was_never_heard_is_named() -> None:
    assert standing.missed(Standing(T0, 1, [], [])) == "processors, ingest, escalator"


def test_it_is_noted_when_the_last_console_has_been_gone_for_a_minute() -> None:
    judge = Judge([])
    assert wrong(judge, said(consoles=2)) == {}
    assert "consoles" not in wrong(judge, said(consoles=0), 59)
    assert wrong(judge, said(consoles=0), 61)["consoles"] == "since 06:00 UTC"


def test_where_people_are_paged_only_no_console_is_missed() -> None:
    assert "consoles" not in wrong(Judge([]), said(consoles=0), 3600)


def test_clocks_that_are_apart_are_noted_with_their_sign() -> None:
    assert wrong(Judge([]), said(), 2.5) == {"clock": "-2.5 s"}
    assert "clock" not in wrong(Judge([]), said(), 1.5)


@pytest.mark.asyncio
async def test_a_platform_that_answers_nonsense_is_unavailable() -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, text="{}"))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        with pytest.raises(Unavailable, match="standing"):
            await standing.ask(client)
