from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fallback import notify
from fallback.notify import REPEAT, AppriseNotifier, Notice
from fallback.store import add_notice
from vigil.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from fallback.store import Store
    from tests.unit.fallback.conftest import FakeClock


# Apprise asks for `imghdr` on Pythons that still have it.
imghdr = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class FakeNotifier:
    def __init__(self) -> None:
        self.sent: list[Notice] = []
        self.refuses = False

    def send(self, notice: Notice) -> None:
        if self.refuses:
            raise Unavailable("the route", "no answer")
        self.sent.append(notice)


def write(store: Store, clock: FakeClock, title: str = "Fallback") -> None:
    with store.transaction() as connection:
        add_notice(connection, clock.at, "e1", title, "body", urgent=True)


@pytest.mark.asyncio
async def test_a_notice_is_sent_once(store: Store, clock: FakeClock) -> None:
    notifier = FakeNotifier()
    write(store, clock)
    assert await notify.deliver(store, notifier, clock)
    assert not await notify.deliver(store, notifier, clock)
    assert notifier.sent == [Notice("Fallback", "body", urgent=True)]


@pytest.mark.asyncio
async def test_a_refused_notice_is_sent_again_and_says_that_it_is_a_repeat(
    store: Store, clock: FakeClock
) -> None:
    notifier = FakeNotifier()
    notifier.refuses = True
    write(store, clock)
    await notify.deliver(store, notifier, clock)
    notifier.refuses = False
    assert not await notify.deliver(store, notifier, clock)
    clock.forward(notify.AGAIN.total_seconds())
    assert await notify.deliver(store, notifier, clock)
    assert [notice.title for notice in notifier.sent] == [f"{REPEAT}Fallback"]


@pytest.mark.asyncio
async def test_a_notice_that_waits_does_not_hold_up_the_next(store: Store, clock: FakeClock) -> None:
    notifier = FakeNotifier()
    notifier.refuses = True
    write(store, clock, "one")
    await notify.deliver(store, notifier, clock)
    notifier.refuses = False
    write(store, clock, "two")
    await notify.deliver(store, notifier, clock)
    assert [notice.title for notice in notifier.sent] == ["two"]


@imghdr
def test_an_unknown_route_is_told_by_its_number_without_its_secret() -> None:
    with pytest.raises(Misconfigured, match="URL 2") as raised:
        AppriseNotifier(["json://127.0.0.1:1/", "nonsense://secret@host"])
    assert "secret" not in str(raised.value)


@imghdr
def test_no_route_that_takes_a_notice_is_said() -> None:
    with pytest.raises(Unavailable, match="none took"):
        AppriseNotifier(["json://127.0.0.1:1/"]).send(Notice("t", "b", urgent=False))
