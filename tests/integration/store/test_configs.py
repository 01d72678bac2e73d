"""Versions of boxes' configs: what the register of consents makes of them, what boxes answer, and a restored database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio

from vigil import boxconfig
from vigil.boxconfig import DeviceSettings, Document, Settings
from vigil.events import Has, Reply
from vigil.store import configs
from vigil.store.board import EVERYWHERE
from vigil.store.configs import Order, Seen, State, Version

if TYPE_CHECKING:
    from tests.integration.store.conftest import Connect

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
COMMUNITY = """
    INSERT INTO community (id, name) VALUES ('c1', 'C');
    INSERT INTO estate (id, community, name) VALUES ('e1', 'c1', 'E'), ('e2', 'c1', 'F');
    INSERT INTO zone (id, estate, name, public, legal_basis)
    VALUES ('home', 'e1', 'H', false, NULL), ('gate', 'e1', 'G', true, 'order 7'), ('yard', 'e1', 'Y', true, NULL);
    INSERT INTO node (id, estate, online) VALUES ('n1', 'e1', true), ('n2', 'e1', false), ('n3', 'e1', true);
    INSERT INTO device (id, node, zone, kind) VALUES
        ('cam', 'n1', 'home', 'camera'), ('pendant', 'n1', 'home', 'pendant'), ('button', 'n1', 'home', 'sos_button'),
        ('gate-cam', 'n2', 'gate', 'camera');
    INSERT INTO resident (id, estate, name, flagged) VALUES ('r1', 'e1', '', true), ('r2', 'e1', '', true);
    INSERT INTO assignment (device, resident) VALUES
        ('cam', 'r1'), ('cam', 'r2'), ('pendant', 'r1'), ('button', 'r1');
    INSERT INTO consent (resident, purpose, granted, text_version, given_by)
    SELECT r, p, true, '1', 'self'
    FROM unnest(ARRAY['r1', 'r2']) r, unnest(ARRAY['fall_detection', 'home_camera', 'routine_monitoring']) p;
"""


class Nodes:
    """The three nodes, and a look for what has changed as `ingest.configs` does it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.seen = Seen()
        self.now = NOW

    async def look(self, seconds: float = 3) -> dict[str, Version]:
        """Look once; returns what was made, by node."""
        self.now += timedelta(seconds=seconds)
        changed, self.seen = await configs.changed_nodes(self.connection, self.seen, self.now)
        nodes = sorted({*changed, *await configs.behind_their_boxes(self.connection)})
        return {made.node: made for made in await configs.compile_nodes(self.connection, nodes, self.now)}

    async def said(
        self, resident: str, purpose: str, *, granted: bool, until: datetime | None = None
    ) -> None:
        await self.connection.execute(
            """
            INSERT INTO consent (resident, purpose, granted, text_version, given_by, since, until)
            VALUES (%s, %s, %s, '1', 'self', %s, coalesce(%s::timestamptz, 'infinity'))
            """,
            [resident, purpose, granted, self.now, until],
        )

    async def answer(self, version: Version | int, *, refused: str = "", **has: Any) -> None:
        number = version if isinstance(version, int) else version.version
        goes_by: dict[str, Any] = {
            "version": number,
            "digest": "" if isinstance(version, int) else version.digest,
        } | has
        if refused:
            goes_by = {"version": 0}
        reply = Reply(to=f"config-{number}", accepted=not refused, reason=refused, has=Has(**goes_by))
        await configs.note_replies(self.connection, [("n1", reply)], self.now)

    async def state(self) -> State:
        found = await configs.standing(self.connection, "n1")
        assert found is not None
        return State(found.state)

    async def set(self, settings: Settings) -> Version | None:
        last = await configs.newest(self.connection, "n1")
        document = Document(
            community="c1",
            estate="e1",
            node="n1",
            version=await configs.next_number(self.connection, "n1"),
            settings=settings,
            without=last.content.without if last else {},
        )
        return await configs.add(self.connection, document, "person:lin", "tried", self.now)


@pytest_asyncio.fixture
async def nodes(connection: Any) -> Nodes:
    await connection.execute(COMMUNITY)
    return Nodes(connection)


async def test_where_everybody_agrees_there_is_nothing_to_say(nodes: Nodes) -> None:
    assert await nodes.look() == {}
    assert await nodes.state() is State.NONE


async def test_one_of_two_who_takes_it_back_is_enough_and_help_is_never_withheld(nodes: Nodes) -> None:
    await nodes.look()
    await nodes.said("r2", "home_camera", granted=False)
    made = await nodes.look()
    assert made["n1"].content.without == {"cam": ["home_camera"]}
    assert (made["n1"].version, made["n1"].made_by) == (1, "platform")
    assert await nodes.look() == {}, "once"
    await nodes.said("r2", "home_camera", granted=True)
    made = await nodes.look()
    assert (made["n1"].version, made["n1"].content.without) == (2, {})


async def test_each_purpose_counts_by_itself(nodes: Nodes) -> None:
    await nodes.said("r1", "fall_detection", granted=False)
    made = await nodes.look()
    assert made["n1"].content.without == {"cam": ["fall_detection"], "pendant": ["fall_detection"]}


async def test_a_word_that_ends_by_the_clock_is_noticed(nodes: Nodes) -> None:
    await nodes.connection.execute("DELETE FROM consent WHERE (resident, purpose) = ('r1', 'home_camera')")
    await nodes.said("r1", "home_camera", granted=True, until=NOW + timedelta(minutes=1))
    assert await nodes.look() == {}
    made = await nodes.look(60)
    assert made["n1"].content.without == {"cam": ["home_camera"]}


@pytest.mark.parametrize(
    ("change", "node", "without"),
    [
        ("UPDATE zone SET legal_basis = NULL WHERE id = 'gate'", "n2", {"gate-cam": ["home_camera"]}),
        ("DELETE FROM assignment WHERE device = 'cam'", "n1", {"cam": ["home_camera"]}),
        ("UPDATE device SET zone = NULL WHERE id = 'gate-cam'", "n2", {"gate-cam": ["home_camera"]}),
        ("UPDATE resident SET flagged = false WHERE id = 'r2'", "n1", None),
    ],
    ids=[
        "no legal basis any more",
        "a camera in a home of nobody",
        "a camera of which no place is known",
        "nobody to be watched over",
    ],
)
async def test_what_stands_in_the_register_counts(
    nodes: Nodes, change: str, node: str, without: dict[str, list[str]] | None
) -> None:
    await nodes.look()
    await nodes.connection.execute(change)
    made = await nodes.look()
    every = ["fall_detection", "home_camera", "routine_monitoring"]
    assert made[node].content.without == ({"cam": every} if without is None else without)


async def test_what_is_set_stays_when_a_consent_changes(nodes: Nodes) -> None:
    settings = Settings(devices={"pendant": DeviceSettings(placement="waist")})
    await nodes.set(settings)
    await nodes.said("r1", "home_camera", granted=False)
    made = await nodes.look()
    assert made["n1"].content.settings == settings


async def test_a_node_that_moves_is_told_under_its_new_address(nodes: Nodes) -> None:
    await nodes.set(Settings(spool_max_mb=64))
    await nodes.connection.execute("UPDATE node SET estate = 'e2' WHERE id = 'n1'")
    made = await nodes.look()
    assert made["n1"].content.address.estate == "e2"
    ((found, before),) = await configs.documents(nodes.connection, {"n1": made["n1"].version})
    assert (found.estate, before) == ("e2", "e1"), "what is retained at the old address is to go"


async def test_a_version_stays_as_it_is(connection: Any, nodes: Nodes) -> None:
    await nodes.set(Settings(spool_max_mb=64))
    for change in ("UPDATE node_config SET reason = 'another'", "DELETE FROM node_config"):
        with pytest.raises(psycopg.errors.RaiseException, match="stays as it is"):
            async with connection.transaction():
                await connection.execute(change)


async def test_of_two_who_take_the_same_number_one_has_it(nodes: Nodes) -> None:
    made = await nodes.set(Settings(spool_max_mb=64))
    assert made is not None
    again = await configs.add(nodes.connection, made.content, "person:wu", "me too", NOW)
    assert again is None


# What boxes answer.


async def test_a_box_is_waited_for_then_it_has_taken_it(nodes: Nodes) -> None:
    made = await nodes.set(Settings(spool_max_mb=64))
    assert made is not None
    assert await nodes.state() is State.WAITING
    await nodes.answer(made)
    assert await nodes.state() is State.TAKEN
    assert await nodes.look() == {}


async def test_a_box_that_is_away_is_not_waited_for(nodes: Nodes) -> None:
    await nodes.set(Settings(spool_max_mb=64))
    await nodes.connection.execute("UPDATE node SET online = false WHERE id = 'n1'")
    assert await nodes.state() is State.NOT_HEARD


async def test_a_refusal_is_shown_with_its_reason_until_a_later_version(nodes: Nodes) -> None:
    made = await nodes.set(Settings(spool_max_mb=64))
    assert made is not None
    await nodes.answer(made, refused="no such port")
    found = await configs.standing(nodes.connection, "n1")
    assert found is not None
    assert (State(found.state), found.refused, found.has) == (State.REFUSED, "no such port", 0)
    await nodes.set(Settings(spool_max_mb=128))
    assert await nodes.state() is State.WAITING


async def test_an_answer_to_an_earlier_version_says_nothing_of_the_newest(nodes: Nodes) -> None:
    first = await nodes.set(Settings(spool_max_mb=64))
    await nodes.set(Settings(spool_max_mb=128))
    assert first is not None
    await nodes.answer(first)
    assert await nodes.state() is State.WAITING


async def test_replies_of_strangers_and_of_older_software_change_nothing(nodes: Nodes) -> None:
    stranger = Reply(to="config-1", accepted=True, has=Has(version=1))
    older = Reply(to="config-1", accepted=True)
    await configs.note_replies(nodes.connection, [("n9", stranger), ("n1", older)], NOW)
    assert await nodes.state() is State.NONE


# A platform that came back from a backup.


async def test_a_box_that_knows_a_later_version_gets_one_above_it(nodes: Nodes) -> None:
    await nodes.set(Settings(spool_max_mb=64))
    await nodes.answer(9, digest="0123456789abcdef")
    made = await nodes.look()
    assert (made["n1"].version, made["n1"].content.settings.spool_max_mb) == (10, 64)
    await nodes.answer(made["n1"])
    assert await nodes.look() == {}
    assert await nodes.state() is State.TAKEN


async def test_a_box_with_another_document_of_the_same_number_gets_the_next(nodes: Nodes) -> None:
    made = await nodes.set(Settings(spool_max_mb=64))
    assert made is not None
    await nodes.answer(made.version, digest="0123456789abcdef")
    assert (await nodes.look())["n1"].version == made.version + 1


async def test_a_withdrawal_that_the_backup_does_not_know_is_held_until_a_person_lifts_it(
    nodes: Nodes,
) -> None:
    await nodes.look()
    await nodes.answer(4, digest="0123456789abcdef", without={"cam": ["home_camera"]}, off=["cam"])
    made = (await nodes.look())["n1"]
    assert (made.version, made.content.held) == (5, {"cam": ["home_camera"]})
    await nodes.answer(made)
    await nodes.said("r1", "routine_monitoring", granted=False)
    later = (await nodes.look())["n1"]
    assert later.content.held == {"cam": ["home_camera"]}, "no change of the register lifts it"
    assert (await configs.standing(nodes.connection, "n1")).held  # type: ignore[union-attr]  # there is one


async def test_what_the_register_itself_withholds_need_not_be_held(nodes: Nodes) -> None:
    await nodes.said("r1", "home_camera", granted=False)
    await nodes.answer(4, digest="0123456789abcdef", without={"cam": ["home_camera"]})
    made = (await nodes.look())["n1"].content
    assert (made.without, made.held) == ({"cam": ["home_camera"]}, {})


# Lists, counts, commands.


async def test_how_many_stand_how_and_for_how_long_one_has_not_answered(nodes: Nodes) -> None:
    await nodes.set(Settings(spool_max_mb=64))
    by_state, waited = await configs.counts(nodes.connection, NOW + timedelta(minutes=20))
    assert by_state == {State.WAITING: 1, State.NONE: 2}
    assert waited == 1200
    found = await configs.standings(nodes.connection, EVERYWHERE, 10, state=State.WAITING)
    assert [one.node for one in found] == ["n1"]
    assert [one.node for one in await configs.standings(nodes.connection, EVERYWHERE, 2, after="n1")] == [
        "n2",
        "n3",
    ]


async def test_a_command_is_given_until_it_is_answered_or_has_ended(nodes: Nodes) -> None:
    order = Order(UUID(int=7), "n1", "identify", "person:lin", NOW, NOW + timedelta(minutes=5))
    await configs.add_order(nodes.connection, order)
    assert await configs.open_orders(nodes.connection, NOW + timedelta(minutes=5)) == []
    assert await configs.open_orders(nodes.connection, NOW) == [("c1", "e1", order)]
    no = Reply(to=str(order.id), accepted=False, reason="no siren")
    await configs.note_replies(nodes.connection, [("n2", no)], NOW)
    assert len(await configs.open_orders(nodes.connection, NOW)) == 1, "another box has no say"
    await configs.note_replies(nodes.connection, [("n1", no)], NOW)
    assert await configs.open_orders(nodes.connection, NOW) == []
    (kept,) = await configs.orders(nodes.connection, "n1", 5)
    assert (kept.accepted, kept.reason) == (False, "no siren")


async def test_two_members_who_compile_at_once_make_one_version(connect: Connect) -> None:
    async with connect() as first, connect() as second:
        await first.execute(COMMUNITY)
        one, other = Nodes(first), Nodes(second)
        await one.said("r1", "home_camera", granted=False)
        async with first.transaction():
            made = await one.look()
            assert set(made) == {"n1"}
        assert await other.look() == {}


async def test_what_is_published_is_what_is_kept(nodes: Nodes) -> None:
    made = await nodes.set(Settings(spool_max_mb=64))
    assert made is not None
    (newest,) = await configs.to_publish(nodes.connection)
    ((found, _),) = await configs.documents(nodes.connection, {"n1": newest.version})
    assert boxconfig.digest(found.document.encode()) == newest.digest == made.digest
