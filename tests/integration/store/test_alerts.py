"""Alerts as rows: one open per subject and kind, evidence that joins, order of the changes."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from vigil.alerts import Action, Outcome, Priority, Step
from vigil.errors import Conflict, NotFound, Rejected
from vigil.events import derived_id
from vigil.store import alerts
from vigil.store.alerts import Alert, NewAlert
from vigil.store.detections import Detection, insert_detections
from vigil.store.pool import Pool, open_pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
NOW = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
LI, ZHAO = "person:li", "person:zhao"
_numbers = itertools.count(1)


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with open_pool(SecretStr(database), "test", 6) as opened:
        yield opened


def detection(*, subject: str = "resident:r1", synthetic: str | None = None) -> Detection:
    n = next(_numbers)
    return Detection(
        id=derived_id("detection", n),
        event=derived_id("event", n),
        time=NOW,
        kind="fall",
        subject=subject,
        resident="r1",
        zone=None,
        estate="e1",
        device="d1",
        score=0.9,
        model="rule",
        model_version="1",
        explanation={"en": "x", "zh": "x"},
        synthetic=synthetic,
        made_at=NOW,
    )


def asked(found: Detection, priority: Priority = Priority.CRITICAL) -> NewAlert:
    return NewAlert(
        id=derived_id("alert", found.id),
        subject=found.subject,
        kind=found.kind,
        priority=priority,
        estate="e1",
        zone=None,
        resident="r1",
        event_time=found.time,
        summary={"en": "x", "zh": "x"},
        synthetic=found.synthetic,
        detection=found.id,
    )


async def raised(
    pool: Pool, found: Detection, priority: Priority = Priority.CRITICAL, now: datetime = NOW
) -> UUID:
    async with pool.transaction() as connection:
        await insert_detections(connection, [found])
        return await alerts.raise_alert(connection, asked(found, priority), now)


async def now_at(pool: Pool, alert: UUID) -> Alert:
    async with pool.connection() as connection:
        return await alerts.get(connection, alert)


async def step(pool: Pool, alert: UUID, version: int, taken: Step, now: datetime = NOW) -> Alert:
    async with pool.transaction() as connection:
        return await alerts.apply(connection, alert, version, taken, now)


async def test_a_second_detection_of_the_same_subject_joins_the_open_alert(pool: Pool) -> None:
    first = await raised(pool, detection())
    assert await raised(pool, detection()) == first
    assert (await now_at(pool, first)).evidence == 2


async def test_a_detection_that_comes_again_changes_nothing(pool: Pool) -> None:
    found = detection()
    alert = await raised(pool, found)
    before = await now_at(pool, alert)
    assert await raised(pool, found) == alert
    assert await now_at(pool, alert) == before


async def test_a_detection_that_comes_again_after_its_alert_was_closed_opens_nothing(pool: Pool) -> None:
    found = detection()
    alert = await raised(pool, found)
    await step(pool, alert, 1, Step(Action.RESOLVE, LI, outcome=Outcome.TRUE))
    assert await raised(pool, found) == alert
    assert (await now_at(pool, alert)).state == "resolved"


asked_for = st.tuples(
    st.integers(0, 5), st.sampled_from("abc"), st.sampled_from(Priority), st.sampled_from([None, "demo"])
)
"""Which detection, about whom, how urgent, how real."""
HELD = (
    "SELECT to_jsonb(t) FROM alert t ORDER BY id",
    "SELECT to_jsonb(t) FROM alert_evidence t ORDER BY detection",
    "SELECT to_jsonb(t) - 'change' FROM alert_transition t ORDER BY change",
)


async def left_behind(database: str, first: list[Any], then: list[Any], *, together: bool) -> Any:
    """Raise some alerts, close those of subject a, raise the others; return what the tables hold."""
    async with (
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        for batch in (first, then):
            made = [_numbered(*which) for which in batch]
            await insert_detections(connection, [found for found, _ in made])
            some = [asked(found, priority) for found, priority in made]
            for each in [some] if together else [[one] for one in some]:
                carriers = await alerts.raise_alerts(connection, each, NOW)
                assert carriers.keys() == {new.detection for new in each}
            await connection.execute("UPDATE alert SET state = 'resolved' WHERE subject = 'resident:a'")
        return [await (await connection.execute(query)).fetchall() for query in HELD]


def _numbered(number: int, subject: str, priority: Priority, synthetic: str | None) -> Any:
    found = detection(subject=f"resident:{subject}", synthetic=synthetic)
    id_ = derived_id("detection", "numbered", number, subject)
    return replace(found, id=id_, event=derived_id("event", number)), priority


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(asked_for, max_size=8), st.lists(asked_for, max_size=8))
async def test_alerts_raised_together_stand_as_if_raised_one_after_the_other(
    database: str, first: list[Any], then: list[Any]
) -> None:
    alone = await left_behind(database, first, then, together=False)
    assert await left_behind(database, first, then, together=True) == alone


async def test_after_an_alert_was_closed_a_new_detection_opens_a_new_one(pool: Pool) -> None:
    first = await raised(pool, detection())
    await step(pool, first, 1, Step(Action.RESOLVE, LI, outcome=Outcome.FALSE))
    assert await raised(pool, detection()) != first


async def test_of_many_at_once_one_opens_and_the_others_join(pool: Pool) -> None:
    carriers = await asyncio.gather(*(raised(pool, detection()) for _ in range(12)))
    assert len(set(carriers)) == 1
    alert = await now_at(pool, carriers[0])
    assert (alert.evidence, alert.version) == (12, 12)


async def test_joined_evidence_makes_an_alert_more_urgent_and_never_less(pool: Pool) -> None:
    alert = await raised(pool, detection(), Priority.MEDIUM)
    await raised(pool, detection(), Priority.CRITICAL)
    await raised(pool, detection(), Priority.HIGH)
    assert (await now_at(pool, alert)).priority == "critical"


async def test_real_evidence_makes_a_demo_alert_real_and_demo_evidence_no_real_one_a_demo(pool: Pool) -> None:
    alert = await raised(pool, detection(synthetic="demo"))
    await raised(pool, detection())
    assert (await now_at(pool, alert)).synthetic is None
    await raised(pool, detection(synthetic="demo"))
    assert (await now_at(pool, alert)).synthetic is None


async def test_who_decided_on_an_older_version_is_told_who_was_first(pool: Pool) -> None:
    alert = await raised(pool, detection())
    await step(pool, alert, 1, Step(Action.ACKNOWLEDGE, LI))
    with pytest.raises(Conflict) as refused:
        await step(pool, alert, 1, Step(Action.ACKNOWLEDGE, ZHAO))
    assert refused.value.holder == LI


async def test_evidence_that_joined_in_between_refuses_nobody(pool: Pool) -> None:
    alert = await raised(pool, detection())
    await raised(pool, detection())
    assert (await step(pool, alert, 1, Step(Action.ACKNOWLEDGE, LI))).holder == LI


async def test_notices_that_went_out_and_arrived_in_between_refuse_nobody(pool: Pool) -> None:
    alert = await raised(pool, detection())
    await step(pool, alert, 1, Step(Action.NOTIFY, "system:escalator"))
    await step(pool, alert, 2, Step(Action.DELIVER, "system:console"))
    assert (await step(pool, alert, 1, Step(Action.ACKNOWLEDGE, LI))).holder == LI


async def test_who_has_not_heard_that_it_was_opened_again_looks_again(pool: Pool) -> None:
    alert = await raised(pool, detection())
    await step(pool, alert, 1, Step(Action.ACKNOWLEDGE, LI))
    await step(pool, alert, 2, Step(Action.REOPEN, "system:auditor", "not attended in time"))
    with pytest.raises(Conflict):
        await step(pool, alert, 2, Step(Action.ATTEND, LI))


async def test_repeating_ones_own_step_gives_the_alert_as_it_stands(pool: Pool) -> None:
    alert = await raised(pool, detection())
    once = await step(pool, alert, 1, Step(Action.ACKNOWLEDGE, LI))
    assert await step(pool, alert, 1, Step(Action.ACKNOWLEDGE, LI)) == once


async def test_a_step_that_is_refused_leaves_no_trace(pool: Pool) -> None:
    alert = await raised(pool, detection())
    before = await now_at(pool, alert)
    with pytest.raises(Rejected):
        await step(pool, alert, 1, Step(Action.SILENCE, LI, "why", NOW + timedelta(hours=5)))
    assert await now_at(pool, alert) == before


async def test_a_step_on_what_is_not_there_says_so(pool: Pool) -> None:
    with pytest.raises(NotFound):
        await step(pool, derived_id("nothing"), 1, Step(Action.ACKNOWLEDGE, LI))


async def test_an_alert_that_opens_again_has_no_holder_and_is_counted(pool: Pool) -> None:
    alert = await raised(pool, detection())
    await step(pool, alert, 1, Step(Action.ACKNOWLEDGE, LI))
    again = await step(pool, alert, 2, Step(Action.REOPEN, "system:auditor", "not attended in time"))
    assert (again.state, again.holder, again.reopened) == ("notifying", None, 1)


async def test_a_batch_on_several_alerts_and_a_person_on_one_of_them_do_not_wait_for_each_other(
    pool: Pool,
) -> None:
    one = await raised(pool, detection(subject="resident:a"))
    other = await raised(pool, detection(subject="resident:b"))
    first, second = detection(subject="resident:a"), detection(subject="resident:b")
    async with pool.transaction() as connection:
        await insert_detections(connection, [first, second])
        assert await alerts.raise_alert(connection, asked(first), NOW) == one
        person = asyncio.create_task(step(pool, other, 1, Step(Action.ACKNOWLEDGE, LI)))
        await asyncio.sleep(0.2)  # long enough for the person to wait for a lock
        assert await alerts.raise_alert(connection, asked(second), NOW) == other
    assert (await person).holder == LI


async def test_who_takes_an_alert_and_a_screen_that_confirms_it_do_not_wait_for_each_other(
    pool: Pool,
) -> None:
    alert = await raised(pool, detection())
    async with pool.transaction() as screen:
        seen = await alerts.get(screen, alert, lock=True)
        person = asyncio.create_task(step(pool, alert, 1, Step(Action.ACKNOWLEDGE, LI)))
        await asyncio.sleep(0.2)  # long enough for the person to wait for a lock
        await alerts.apply(screen, alert, seen.version, Step(Action.DELIVER, "system:console"), NOW)
    assert (await person).holder == LI


async def test_changes_are_numbered_in_the_order_in_which_they_become_visible(pool: Pool) -> None:
    """A reader that follows the numbers while many write never finds a lower one later."""
    seen: list[int] = []

    async def follow() -> None:
        while len(seen) < 30:
            async with pool.connection() as connection:
                new = await alerts.changes_after(connection, seen[-1] if seen else 0)
            seen.extend(change.change for change in new)
            await asyncio.sleep(0)

    await asyncio.gather(follow(), *(raised(pool, detection(subject=f"resident:{n}")) for n in range(30)))
    assert len(seen) == len(set(seen)) == 30
