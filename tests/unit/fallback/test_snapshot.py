from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fallback.snapshot import OLD, Keeper
from tests.unit.fallback.conftest import T0
from vigil.errors import Rejected, Unavailable
from vigil.roster import Resident, Roster, read_public_key, sign, write_public_key

if TYPE_CHECKING:
    from datetime import datetime

    from fallback.store import Store

KEY = Ed25519PrivateKey.generate()


def body(made_at: datetime = T0, key: Ed25519PrivateKey = KEY) -> bytes:
    residents = [Resident(id="r1", estate="e1", name="王", risk=3)]
    made = Roster(community="c1", made_at=made_at, estates={"e1": "北里"}, residents=residents, staff=[])
    return msgspec.json.encode(sign(made, key))


def test_a_signed_roster_is_kept_over_a_restart(store: Store) -> None:
    Keeper(store, KEY.public_key()).accept(body(), T0)
    again = Keeper(store, KEY.public_key())
    assert again.roster is not None
    assert [resident.name for resident in again.roster.residents] == ["王"]


def test_a_roster_of_another_key_is_refused_and_the_good_one_stays(store: Store) -> None:
    keeper = Keeper(store, KEY.public_key())
    keeper.accept(body(), T0)
    with pytest.raises(Rejected, match="forged"):
        keeper.accept(body(T0 + OLD, Ed25519PrivateKey.generate()), T0)
    assert keeper.roster is not None
    assert keeper.roster.made_at == T0


def test_a_changed_roster_is_refused(store: Store) -> None:
    signed = msgspec.json.decode(body())
    signed["payload"] = signed["payload"][:-8] + "AAAAAAA="
    with pytest.raises(Rejected):
        Keeper(store, KEY.public_key()).accept(msgspec.json.encode(signed), T0)


def test_an_older_roster_does_not_replace_a_newer_one(store: Store) -> None:
    keeper = Keeper(store, KEY.public_key())
    keeper.accept(body(), T0)
    with pytest.raises(Rejected, match="newer"):
        keeper.accept(body(T0 - timedelta(seconds=1)), T0)


def test_without_a_key_no_roster_is_trusted(store: Store) -> None:
    with pytest.raises(Rejected, match="VIGIL_FALLBACK_ROSTER_KEY"):
        Keeper(store, None).accept(body(), T0)


def test_an_old_roster_says_how_old_it_is_and_why(store: Store) -> None:
    keeper = Keeper(store, KEY.public_key())
    assert "there is none" in str(keeper.old(T0))
    keeper.accept(body(), T0)
    assert keeper.old(T0 + OLD - timedelta(seconds=1)) is None
    assert "made 2026-03-02 06:00" in str(keeper.old(T0 + OLD))


@pytest.mark.asyncio
async def test_a_platform_that_does_not_answer_is_trouble_and_not_the_end(store: Store) -> None:
    keeper = Keeper(store, KEY.public_key())
    answers = iter([httpx.Response(503), httpx.Response(200, content=body())])
    transport = httpx.MockTransport(lambda _request: next(answers))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        with pytest.raises(Unavailable):
            await keeper.fetch(client, T0)
        assert keeper.trouble
        await keeper.fetch(client, T0)
    assert keeper.trouble is None


def test_a_key_travels_as_text() -> None:
    text = write_public_key(KEY.public_key())
    assert write_public_key(read_public_key(text)) == text
    with pytest.raises(Rejected, match="32 bytes"):
        read_public_key("nonsense")
