"""What is said of detectors, what came of them, and what was missed, on a real PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.making import NOW
from vigil.alerts import Priority
from vigil.errors import Conflict, NotFound, Rejected
from vigil.events import derived_id
from vigil.store import alerts, detectors
from vigil.store.alerts import NewAlert
from vigil.store.board import Scope
from vigil.store.detections import Detection, insert_detections
from vigil.store.detectors import NewMiss, NewWord
from vigil.store.effect import Stretch

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
HOUR = timedelta(hours=1)
EVERYBODY = Scope(None)
WEEK = Stretch(NOW - timedelta(days=7), NOW + HOUR)
COMMUNITY = """
    INSERT INTO community (id, name) VALUES ('c1', 'C');
    INSERT INTO estate (id, community, name) VALUES ('e1', 'c1', 'E'), ('e2', 'c1', 'F');
    INSERT INTO zone (id, estate, name) VALUES ('home1', 'e1', 'Home');
    INSERT INTO node (id, estate, zone) VALUES ('n1', 'e1', 'home1');
    INSERT INTO device (id, node, zone, kind, placement) VALUES ('pendant', 'n1', 'home1', 'pendant', 'waist');
    INSERT INTO resident (id, estate, home, name, flagged) VALUES ('r1', 'e1', 'home1', 'R', true);
    INSERT INTO assignment (device, resident) VALUES ('pendant', 'r1');
    INSERT INTO consent (resident, purpose, granted, text_version, given_by) VALUES
        ('r1', 'fall_detection', true, '1', 'self');
"""


def word(**changes: Any) -> NewWord:
    facts: dict[str, Any] = {"detector": "routines", "version": "1", "mode": "alert"}
    facts |= {"actor": "person:x", "reason": "measured"}
    return NewWord(**(facts | changes))


def seen(score: float, version: str = "1", *, shadow: bool = False, at: Any = NOW) -> Detection:
    return Detection(
        id=uuid4(),
        event=uuid4(),
        time=at,
        kind="fall",
        subject="resident:r1",
        resident="r1",
        zone="home1",
        estate="e1",
        device="pendant",
        score=score,
        model="falls-waist",
        model_version=version,
        explanation={"en": "x"},
        synthetic=None,
        made_at=at,
        shadow=shadow,
    )


async def alerted(connection: Any, found: Detection, outcome: str | None) -> None:
    """Store a detection with its alert, and how that ended."""
    await insert_detections(connection, [found])
    new = NewAlert(
        id=derived_id("alert", found.id),
        subject=found.subject,
        kind="fall",
        priority=Priority.CRITICAL,
        estate="e1",
        zone="home1",
        resident="r1",
        event_time=found.time,
        summary={"en": "x"},
        synthetic=None,
        detection=found.id,
    )
    id_ = await alerts.raise_alert(connection, new, found.time)
    await connection.execute(
        "UPDATE alert SET state = 'resolved', outcome = %s WHERE id = %s", [outcome, id_]
    )


def miss(**changes: Any) -> NewMiss:
    facts: dict[str, Any] = {"id": uuid4(), "kind": "fall", "estate": "e1", "resident": "r1", "zone": None}
    facts |= {"happened_at": NOW - HOUR, "found_at": NOW, "how_found": "visit", "note": ""}
    return NewMiss(**(facts | {"reported_by": "person:x"} | changes))


async def cause(connection: Any, **changes: Any) -> str:
    return (await detectors.report_miss(connection, miss(**changes), NOW)).cause


async def test_words_are_kept_the_latest_first_and_one_a_place_is_current(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    for n, said in enumerate((word(), word(mode="shadow"), word(estate="e1"))):
        await detectors.speak(connection, said, NOW + n * HOUR)
    found = [one for one in await detectors.words(connection, "routines") if one.version == "1"]
    assert [(one.mode, one.estate, one.current) for one in found] == [
        ("alert", "e1", True),
        ("shadow", None, True),
        ("alert", None, False),
    ]


async def test_a_word_is_never_changed(connection: Any) -> None:
    await detectors.speak(connection, word(), NOW)
    for statement in ("UPDATE detector_mode SET mode = 'shadow'", "DELETE FROM detector_mode"):
        with pytest.raises(psycopg.errors.RaiseException, match="add another one"):
            async with connection.transaction():
                await connection.execute(statement)


@pytest.mark.parametrize(
    "wrong", [{"detector": "horoscope"}, {"reason": " "}, {"actor": ""}, {"community": "c1", "estate": "e1"}]
)
async def test_a_word_needs_a_detector_a_name_and_a_reason(connection: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        await detectors.speak(connection, word(**wrong), NOW)


async def test_a_word_on_a_place_that_there_is_not_is_refused(connection: Any) -> None:
    with pytest.raises(NotFound):
        await detectors.speak(connection, word(estate="nowhere"), NOW)


async def test_versions_are_compared_on_what_people_found(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    await alerted(connection, seen(0.97), "true")
    await alerted(connection, seen(0.96, at=NOW - HOUR), "false")
    watching = [seen(0.3, "2", shadow=True), seen(0.6, "2", shadow=True, at=NOW - HOUR)]
    await insert_detections(connection, watching)
    live, shadow = await detectors.compare(connection, WEEK, EVERYBODY, 0.5, 0.95)
    assert (live.version, live.review, live.alert, live.true, live.false) == ("1", 2, 2, 1, 1)
    assert (shadow.version, shadow.review, shadow.alert, shadow.false) == ("2", 1, 0, 1)
    assert shadow.silent_true == 1


async def test_real_life_is_counted_by_kind_with_what_was_missed(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    await alerted(connection, seen(0.97, at=NOW - 3 * HOUR), "true")
    await alerted(connection, seen(0.96, at=NOW - 2 * HOUR), "false")
    await detectors.report_miss(connection, miss(happened_at=NOW - 9 * HOUR, found_at=NOW - 8 * HOUR), NOW)
    fall = (await detectors.real_world(connection, WEEK, EVERYBODY))[0]
    assert (fall.alerts, fall.true, fall.false, fall.missed, fall.residents) == (2, 1, 1, 1, 1)
    assert (fall.precision, fall.sensitivity) == (0.5, 0.5)
    assert fall.false_per_resident_day(10) == 0.1
    nothing = (await detectors.real_world(connection, WEEK, Scope(frozenset({"e2"}))))[0]
    assert (nothing.precision, nothing.sensitivity, nothing.false_per_resident_day(10)) == (None, None, None)


async def test_who_has_withdrawn_is_no_resident_who_agrees(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    await connection.execute(
        """
        INSERT INTO consent (resident, purpose, granted, text_version, given_by, since)
        VALUES ('r1', 'fall_detection', false, '1', 'self', %s)
        """,
        [NOW - HOUR],
    )
    assert (await detectors.real_world(connection, WEEK, EVERYBODY))[0].residents == 0


async def test_a_miss_says_what_the_platform_knew(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    assert await cause(connection, resident=None, zone="nowhere") == "no_device"
    assert await cause(connection) == "silent"
    await connection.execute(
        """
        INSERT INTO health (time, id, node, device, type, boot, lane, seq, received_at, clock, data)
        VALUES (%s, %s, 'n1', 'pendant', 't', '1-0', 'health', 1, %s, 'synced', '{}')
        """,
        [NOW - HOUR, uuid4(), NOW],
    )
    assert await cause(connection) == "nothing_seen"
    await connection.execute(
        "INSERT INTO withheld VALUES (%s, 'n1', '1-0', 'alarm', 2, 'fall_detection', %s)",
        [uuid4(), NOW.date()],
    )
    assert await cause(connection) == "withheld"
    await insert_detections(connection, [seen(0.4, at=NOW - HOUR)])
    assert await cause(connection) == "below"
    await insert_detections(connection, [seen(0.99, "2", shadow=True, at=NOW - HOUR)])
    assert await cause(connection) == "in_shadow"


async def test_what_was_alerted_of_or_cannot_have_been_is_no_miss(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    await alerted(connection, seen(0.97, at=NOW - HOUR), None)
    with pytest.raises(Conflict):
        await detectors.report_miss(connection, miss(), NOW)
    for wrong in (
        {"found_at": NOW - 2 * HOUR},
        {"found_at": NOW + HOUR},
        {"resident": None},
        {"kind": "sos"},
    ):
        with pytest.raises(Rejected):
            await detectors.report_miss(connection, miss(**wrong), NOW)


async def test_a_miss_that_was_none_stays_on_record_and_counts_no_more(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    made = await detectors.report_miss(connection, miss(), NOW)
    with pytest.raises(Rejected):
        await detectors.withdraw_miss(connection, made.id, "person:y", "", NOW)
    await detectors.withdraw_miss(connection, made.id, "person:y", "she sat down", NOW)
    assert (
        await detectors.withdraw_miss(connection, made.id, "person:z", "again", NOW)
    ).withdrawn_by == "person:y"
    assert [one.withdrawn_why for one in await detectors.misses(connection, WEEK, EVERYBODY)] == [
        "she sat down"
    ]
    assert (await detectors.real_world(connection, WEEK, EVERYBODY))[0].missed == 0
