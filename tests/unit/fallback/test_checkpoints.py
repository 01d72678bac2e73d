"""What was signed under the audit log stays with the watchdog, and a log that was touched is told of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fallback import checkpoints
from fallback.store import Store
from vigil.audit.chain import EMPTY, Checkpoint, Head, chained, sign
from vigil.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.trust

NOW = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LINKS = list(chained(EMPTY, ["a", "b", "c"]))


def signed(seq: int, minutes: int, hash_: bytes | None = None) -> Checkpoint:
    head = Head(seq, hash_ or LINKS[seq - 1].hash)
    return sign(head, NOW + timedelta(minutes=minutes), KEY)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "state.db")
    yield opened
    opened.close()


async def look(store: Store, answer: Checkpoint | int) -> str | None:
    def respond(_request: httpx.Request) -> httpx.Response:
        if isinstance(answer, int):
            return httpx.Response(answer)
        return httpx.Response(200, content=msgspec.json.encode(answer))

    transport = httpx.MockTransport(respond)
    async with httpx.AsyncClient(transport=transport, base_url="http://platform") as client:
        return await checkpoints.look(client, store, KEY.public_key())


@pytest.mark.asyncio
async def test_what_was_signed_is_kept_once_and_in_order(store: Store) -> None:
    for answer in (404, signed(1, 0), signed(1, 0), signed(3, 5), signed(3, 10)):
        assert await look(store, answer) is None
    assert [(one.seq, one.at.minute) for one in checkpoints.kept(store)] == [(1, 0), (3, 5), (3, 10)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("touched", "says"),
    [
        (signed(2, 5), "had 3 entries"),
        (signed(3, 5, bytes(32)), "is another one now"),
        (404, "is not now"),
    ],
    ids=["cut off", "rewritten", "gone"],
)
async def test_a_log_that_was_touched_is_told_of(store: Store, touched: Checkpoint | int, says: str) -> None:
    await look(store, signed(3, 0))
    assert says in (await look(store, touched) or "")


@pytest.mark.asyncio
async def test_the_proof_stays_when_the_log_looks_good_again(store: Store) -> None:
    for answer in (signed(3, 0), signed(2, 5)):
        await look(store, answer)
    assert "had 3 entries" in (await look(store, signed(3, 10)) or "")
    assert len(checkpoints.kept(store)) == 3


@pytest.mark.asyncio
async def test_what_another_key_signed_is_told_of_and_not_kept(store: Store) -> None:
    forged = sign(Head(9, bytes(32)), NOW, Ed25519PrivateKey.from_private_bytes(bytes(32)))
    assert "not signed by this key" in (await look(store, forged) or "")
    assert checkpoints.kept(store) == []


@pytest.mark.asyncio
async def test_a_platform_that_does_not_answer_is_no_proof(store: Store) -> None:
    with pytest.raises(Unavailable):
        await look(store, 500)
