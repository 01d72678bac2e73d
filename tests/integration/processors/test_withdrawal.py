"""A consent that is withdrawn counts with the very next batch, though the registry is kept in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.processors.test_handlers import POSE, rows
from tests.making import NOW, event, fall, record
from vigil.events import Data, SensorChanged
from vigil.store import consents
from vigil.store.consents import CLASS_OF, Purpose, Word

if TYPE_CHECKING:
    from processors.intake import EventHandler

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.trust]
CAMERA = """
    INSERT INTO device (id, node, zone, kind) VALUES ('cam-home', 'n1', 'home1', 'camera');
    INSERT INTO assignment (device, resident) VALUES ('cam-home', 'r1');
"""
SENT: dict[Purpose, tuple[Data, str]] = {
    Purpose.FALLS: (fall(), "pendant"),
    Purpose.CAMERA: (POSE, "cam-home"),
    Purpose.ROUTINE: (SensorChanged(sensor="door", state=True), "door"),
}
"""What a device sends that is looked at for a purpose."""


def word(purpose: Purpose, *, granted: bool) -> Word:
    """One's own word."""
    return Word(
        purpose=purpose,
        granted=granted,
        class_=CLASS_OF[purpose],
        text_version="1",
        given_by="self",
        guardian=None,
        proof="signed in",
        recorded_by="person:wang",
        since=None,
        until=None,
    )


async def kept(connection: Any) -> tuple[int, int, int]:
    """Return how many events are stored, withheld, and what was found."""
    query = """
        SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM withheld), (SELECT count(*) FROM detection)
    """
    ((stored, withheld, found),) = await rows(connection, query)
    return stored, withheld, found


@pytest.mark.parametrize("purpose", SENT)
async def test_the_batch_after_a_withdrawal_is_withheld_and_its_content_dropped(
    connection: Any, handler: EventHandler, purpose: Purpose
) -> None:
    await connection.execute(CAMERA)
    data, device = SENT[purpose]
    await consents.record(connection, "r1", word(purpose, granted=True), NOW - timedelta(days=1))
    await handler.handle(connection, [record(event(data, 1, device=device))], NOW)
    stored, withheld, found = await kept(connection)
    assert (stored, withheld) == (1, 0)
    await consents.record(connection, "r1", word(purpose, granted=False), NOW + timedelta(seconds=1))
    later = NOW + timedelta(seconds=2)
    await handler.handle(connection, [record(event(data, 2, device=device, time=later))], later)
    assert await kept(connection) == (1, 1, found)


async def test_a_call_for_help_is_heard_whatever_was_withdrawn(
    connection: Any, handler: EventHandler
) -> None:
    for purpose in Purpose:
        await consents.record(connection, "r1", word(purpose, granted=False), NOW - timedelta(days=1))
    await handler.handle(connection, [record(event())], NOW)
    assert await rows(connection, "SELECT kind, resident FROM alert") == [("sos", "r1")]


async def test_nothing_that_was_dated_ahead_or_has_no_end_outlives_a_withdrawal(connection: Any) -> None:
    await connection.execute(
        """
        INSERT INTO consent (resident, purpose, granted, text_version, given_by, since)
        VALUES ('r1', 'home_camera', true, '1', 'self', %s)
        """,
        [NOW + timedelta(days=7)],
    )
    await consents.record(connection, "r1", word(Purpose.CAMERA, granted=False), NOW)
    for days in (0, 6, 8, 400):
        known = await consents.in_force(connection, "r1", NOW + timedelta(days=days))
        assert not known["home_camera"].granted
