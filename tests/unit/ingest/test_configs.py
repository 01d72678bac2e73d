"""When a config or a command is published again, and when not: decided on what the register and the boxes say."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ingest import configs as published
from ingest.configs import AGAIN_S, COMMAND_AGAIN_S, Configs
from tests.making import NOW
from vigil import boxconfig
from vigil.boxconfig import Document
from vigil.store.configs import Newest, Order, Seen, Version

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

pytestmark = pytest.mark.asyncio
TOPIC = "vigil/v1/c1/e1/n1/config"


class Letters:
    """Stands for the broker: what was sent, and how often it connected."""

    def __init__(self) -> None:
        self.connections = 1
        self.sent: list[tuple[str, bytes, bool]] = []

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.sent.append((topic, payload, retain))

    def taken(self) -> list[tuple[str, bytes, bool]]:
        taken, self.sent = self.sent, []
        return taken


class NoPool:
    """Stands for the database; its rows are the register's below."""

    def connection(self) -> AbstractAsyncContextManager[Any]:
        return _Nothing()


class _Nothing:
    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


def version(number: int, estate: str = "e1") -> Version:
    document = Document(community="c1", estate=estate, node="n1", version=number)
    raw = boxconfig.encode(document)
    return Version("n1", number, estate, raw.decode(), boxconfig.digest(raw), "person:lin", "tried", NOW)


class Register:
    """What `vigil.store.configs` answers."""

    def __init__(self) -> None:
        self.newest = Newest("n1", 1, "", taken=False, refused=False, online=True, retired=False)
        self.before: str | None = None
        self.orders: list[tuple[str, str, Order]] = []

    async def changed_nodes(self, _connection: Any, seen: Seen, _now: Any) -> tuple[list[str], Seen]:
        return [], seen

    async def behind_their_boxes(self, _connection: Any) -> list[str]:
        return []

    async def to_publish(self, _connection: Any) -> list[Newest]:
        return [self.newest]

    async def documents(
        self, _connection: Any, wanted: Mapping[str, int]
    ) -> list[tuple[Version, str | None]]:
        return [(version(number), self.before) for number in wanted.values()]

    async def open_orders(self, _connection: Any, _now: Any) -> list[tuple[str, str, Order]]:
        return self.orders

    def is_now(self, **change: Any) -> None:
        given = {name: getattr(self.newest, name) for name in Newest.__dataclass_fields__}
        self.newest = Newest(**(given | change))


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    made = Register()
    monkeypatch.setattr(published, "configs", made)
    return made


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def told(register: Register, letters: Letters) -> Configs:
    assert register.newest.version == 1
    return Configs(NoPool(), letters, lambda: NOW)  # type: ignore[arg-type]  # stand-ins of what is used


async def test_what_is_newest_is_retained_byte_for_byte_and_said_once(
    told: Configs, letters: Letters
) -> None:
    await told.step(0)
    assert letters.taken() == [(TOPIC, version(1).document.encode(), True)]
    await told.step(AGAIN_S - 1)
    assert letters.taken() == []


async def test_a_connected_box_that_does_not_answer_is_told_again(
    told: Configs, letters: Letters, register: Register
) -> None:
    await told.step(0)
    letters.taken()
    await told.step(AGAIN_S)
    assert len(letters.taken()) == 1
    for change in ({"taken": True}, {"taken": False, "refused": True}, {"refused": False, "online": False}):
        register.is_now(**change)
        await told.step(10 * AGAIN_S)
        assert letters.taken() == [], change


async def test_a_new_version_and_a_new_connection_are_told_at_once(
    told: Configs, letters: Letters, register: Register
) -> None:
    await told.step(0)
    register.is_now(version=2, taken=True)
    await told.step(1)
    letters.connections += 1
    await told.step(2)
    assert [payload for _, payload, _ in letters.taken()] == [
        version(number).document.encode() for number in (1, 2, 2)
    ]


async def test_a_node_that_is_retired_or_moved_leaves_nothing_retained(
    told: Configs, letters: Letters, register: Register
) -> None:
    register.before = "e0"
    await told.step(0)
    assert letters.taken()[1] == ("vigil/v1/c1/e0/n1/config", b"", True)
    register.before = None
    register.is_now(retired=True)
    await told.step(1)
    await told.step(10 * AGAIN_S)
    assert letters.taken() == [(TOPIC, b"", True)]


async def test_a_command_is_said_until_it_is_answered_and_never_retained(
    told: Configs, letters: Letters, register: Register
) -> None:
    order = Order(UUID(int=7), "n1", "identify", "person:lin", NOW, NOW + timedelta(minutes=5))
    register.is_now(taken=True)
    register.orders = [("c1", "e1", order)]
    for now_s in (0.0, COMMAND_AGAIN_S - 1, COMMAND_AGAIN_S):
        await told.step(now_s)
    said = [(topic, retain) for topic, _, retain in letters.taken() if topic != TOPIC]
    assert said == [("vigil/v1/c1/e1/n1/cmd/n1", False)] * 2
    register.orders = []
    await told.step(3 * COMMAND_AGAIN_S)
    assert letters.taken() == []
