"""The ways to people."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from api.escalation.channels import AppriseSender, Mailbox, Routes
from api.escalation.messages import Message
from vigil.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

MESSAGE = Message("Critical: fall", "Estate one\nTake it: http://console/take/x")


def test_the_mailbox_keeps_every_notice_with_whom_it_is_for(tmp_path: Path) -> None:
    routes = Routes(Mailbox(tmp_path / "mailbox.txt"), AppriseSender())
    for channel in ("message", "voice"):
        asyncio.run(routes.send(f"mailbox://li/{channel}", MESSAGE))
    text = (tmp_path / "mailbox.txt").read_text(encoding="utf-8")
    assert text.count("Critical: fall") == 2
    assert "To li/message\n" in text
    assert "To li/voice\n" in text


@pytest.mark.parametrize("name", [None, "no/such/folder"])
def test_a_mailbox_that_takes_nothing_says_so(tmp_path: Path, name: str | None) -> None:
    with pytest.raises(Unavailable):
        asyncio.run(Mailbox(tmp_path / name if name else None).send("mailbox://li/message", MESSAGE))


def test_an_address_that_is_none_is_a_route_that_fails() -> None:
    with pytest.raises(Unavailable):
        asyncio.run(Routes(Mailbox(None), AppriseSender()).send("nonsense", MESSAGE))
