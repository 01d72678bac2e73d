"""What detectors remember, and when they look again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.integration.store.conftest import somebody_waits
from tests.making import NOW
from vigil.store import detections
from vigil.store.detections import Detection

if TYPE_CHECKING:
    from tests.integration.store.conftest import Connect

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

LATER = NOW + timedelta(seconds=30)


def detection() -> Detection:
    return Detection(
        uuid4(),
        uuid4(),
        NOW,
        "fall",
        "resident:r1",
        "r1",
        "z1",
        "e1",
        "d1",
        0.75,
        "m",
        "1",
        {"zh": "跌"},
        None,
        NOW,
    )


async def wait_for(connection: Any, subject: str, due: Any = LATER) -> None:
    await detections.load_states(connection, "falls", [subject])
    await detections.save_states(connection, "falls", {subject: {"s": subject}}, NOW)
    await detections.set_deadlines(connection, "falls", {subject: due})


async def test_a_detection_is_stored_once_and_read_back(connection: Any) -> None:
    made = detection()
    await detections.insert_detections(connection, [made, made, replace(made, score=0.5)])
    assert await detections.get_detections(connection, [made.id, uuid4()]) == {made.id: made}
    assert await detections.get_detections(connection, []) == {}


async def test_what_was_saved_is_remembered_and_who_is_unknown_is_not(connection: Any) -> None:
    assert await detections.load_states(connection, "falls", ["a", "b", "a"]) == {}
    await detections.save_states(connection, "falls", {"b": {"x": 1}}, NOW)
    assert await detections.load_states(connection, "falls", ["a", "b"]) == {"b": {"x": 1}}
    assert await detections.load_states(connection, "others", ["b"]) == {}
    assert await detections.load_states(connection, "falls", []) == {}


async def test_of_two_who_bring_first_evidence_about_one_subject_the_second_sees_the_firsts(
    connect: Connect,
) -> None:
    async with connect() as one, connect() as other, connect() as watcher:

        async def second() -> Any:
            async with other.transaction():
                return await detections.load_states(other, "falls", ["a"])

        async with one.transaction():
            await detections.load_states(one, "falls", ["a"])
            waiting = asyncio.create_task(second())
            await somebody_waits(watcher)
            await detections.save_states(one, "falls", {"a": {"first": True}}, NOW)
        assert await waiting == {"a": {"first": True}}


async def test_a_deadline_is_taken_when_it_has_passed_with_what_is_remembered(connection: Any) -> None:
    await wait_for(connection, "a")
    assert await detections.claim_due(connection, "falls", LATER - timedelta(milliseconds=1)) == {}
    assert await detections.claim_due(connection, "falls", LATER) == {"a": {"s": "a"}}
    assert await detections.claim_due(connection, "falls", LATER) == {}


async def test_a_deadline_that_is_set_again_stays_where_it_was(connection: Any) -> None:
    await wait_for(connection, "a")
    await wait_for(connection, "a", LATER + timedelta(hours=1))
    assert list(await detections.claim_due(connection, "falls", LATER)) == ["a"]


async def test_who_is_waited_for_is_known_without_a_lock(connect: Connect) -> None:
    async with connect() as one, connect() as other:
        await wait_for(one, "a")
        async with one.transaction():
            await detections.load_states(one, "falls", ["a"])
            assert await detections.waiting(other, "falls", ["a", "b"]) == {"a"}
        assert await detections.waiting(other, "routines", ["a"]) == set()
        assert await detections.waiting(other, "falls", []) == set()


async def test_a_wait_that_is_over_is_forgotten(connection: Any) -> None:
    await wait_for(connection, "a")
    await detections.set_deadlines(connection, "falls", {"a": None, "b": None})
    assert await detections.claim_due(connection, "falls", LATER) == {}


async def test_the_oldest_deadlines_are_taken_first(connection: Any) -> None:
    for age, subject in enumerate(["a", "b", "c"]):
        await wait_for(connection, subject, LATER - timedelta(seconds=age))
    assert set(await detections.claim_due(connection, "falls", LATER, limit=2)) == {"b", "c"}


async def test_what_one_is_taking_another_leaves_alone(connect: Connect) -> None:
    async with connect() as one, connect() as other:
        await wait_for(one, "a")
        async with one.transaction():
            assert list(await detections.claim_due(one, "falls", LATER)) == ["a"]
            async with other.transaction():
                assert await detections.claim_due(other, "falls", LATER) == {}
        assert await detections.claim_due(other, "falls", LATER) == {}


async def test_who_takes_a_deadline_and_fails_leaves_it_to_the_next(connect: Connect) -> None:
    async with connect() as one:
        await wait_for(one, "a")
        async with one.transaction(force_rollback=True):
            assert list(await detections.claim_due(one, "falls", LATER)) == ["a"]
        assert list(await detections.claim_due(one, "falls", LATER)) == ["a"]


async def test_an_answer_in_the_very_second_of_the_deadline_is_no_deadlock(connect: Connect) -> None:
    async with connect() as answer, connect() as tick:
        await wait_for(answer, "a")
        async with answer.transaction():
            await detections.load_states(answer, "falls", ["a"])
            async with tick.transaction():
                assert await detections.claim_due(tick, "falls", LATER) == {}
                await detections.set_deadlines(answer, "falls", {"a": None})
        assert await detections.claim_due(tick, "falls", LATER) == {}
