"""What people do is noted with the act itself, chained by one writer, and cannot be touched unseen."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.integration.store.test_registry import COMMUNITY
from tests.making import NOW
from vigil.audit.__main__ import verify
from vigil.audit.chain import Head, sign
from vigil.audit.writer import Writer
from vigil.roster import write_public_key
from vigil.store import audit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.store.conftest import Connect

pytestmark = [pytest.mark.integration, pytest.mark.trust]

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOOK = "INSERT INTO access_log (resident, actor, purpose, what, at) VALUES ('r1', %s, 'alert', 'card', now())"

SWAP = """
    UPDATE audit_log a SET entry = b.entry FROM audit_log b
    WHERE a.seq IN ({last}, {last} - 1) AND b.seq IN ({last}, {last} - 1) AND a.seq <> b.seq
"""


async def act(connection: Any) -> None:
    """Make a community in which three people looked at a resident, chained."""
    await connection.execute(COMMUNITY)
    await audit.append(connection)
    for actor in ("person:a", "person:b", "person:c"):
        await connection.execute(LOOK, [actor])
    await audit.append(connection)


@pytest_asyncio.fixture
async def written(connection: Any) -> Any:
    await act(connection)
    return connection


async def entries(connection: Any) -> list[dict[str, Any]]:
    return [entry for _, entry in reversed(await audit.latest(connection, None, 1000))]


async def wrong(connection: Any, checkpoints: Any = ()) -> list[str]:
    _, found = await verify(connection, KEY.public_key(), list(checkpoints))
    return [finding.kind for finding in found]


async def by_force(connection: Any, deed: str) -> None:
    """Do what only the tables' owner can, who switches the triggers off."""
    for table in ("audit_log", "access_log"):
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await connection.execute(deed)


@pytest.mark.asyncio
async def test_who_looked_and_who_may_be_watched_is_noted_without_names(written: Any) -> None:
    told = await entries(written)
    looks = [entry for entry in told if entry["thing"] == "access_log"]
    assert [entry["actor"] for entry in looks] == ["person:a", "person:b", "person:c"]
    assert looks[0]["kept"] == {"resident": "r1"}
    assert {"consent", "resident", "assignment", "device"} <= {entry["thing"] for entry in told}
    resident = next(entry for entry in told if entry["thing"] == "resident")
    assert resident["kept"] == {"estate": "e1", "flagged": "true", "risk": "1"}


@pytest.mark.asyncio
async def test_a_change_names_the_columns_and_no_values_of_people(written: Any) -> None:
    await written.execute("UPDATE resident SET name = 'Somebody', phone = '1' WHERE id = 'r1'")
    await audit.append(written)
    last = (await entries(written))[-1]
    assert (last["act"], last["changed"]) == ("update", ["name", "phone"])
    assert "Somebody" not in str(last)


@pytest.mark.asyncio
async def test_what_is_rolled_back_is_not_noted_and_what_changes_nothing_neither(written: Any) -> None:
    async with written.transaction(force_rollback=True):
        await written.execute(LOOK, ["person:d"])
    await written.execute("UPDATE resident SET risk = risk")
    assert await audit.append(written) == 0


@pytest.mark.asyncio
async def test_a_chain_that_nobody_touched_is_found_whole(written: Any) -> None:
    assert await wrong(written, [sign(await audit.head(written), NOW, KEY)]) == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("deed", "found"),
    [
        ("UPDATE audit_log SET entry = replace(entry, 'person:b', 'person:c') WHERE seq = {last} - 1", "changed"),
        ("DELETE FROM audit_log WHERE seq = {last} - 1", "gap"),
        (SWAP, "changed"),
        ("DELETE FROM audit_log WHERE seq >= {last} - 1", "cut"),
        ("DELETE FROM access_log WHERE actor = 'person:b'", "source"),
        ("UPDATE access_log SET actor = 'person:c' WHERE actor = 'person:b'", "source"),
    ],
    ids=["edit", "deletion", "reordering", "cut tail", "a look that is gone", "a look of another"],
)  # fmt: skip
async def test_whatever_is_done_to_it_is_found(written: Any, deed: str, found: str) -> None:
    head = await audit.head(written)
    await by_force(written, deed.format(last=head.seq))
    assert found in await wrong(written, [sign(head, NOW, KEY)])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "deed", ["UPDATE audit_log SET entry = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log CASCADE"]
)
async def test_even_the_owner_is_refused(written: Any, deed: str) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="stays as it is"):
        await written.execute(deed)


@pytest.mark.asyncio
async def test_many_writers_make_one_chain(connect: Connect) -> None:
    async with connect() as one, connect() as two, connect() as three:
        await act(one)
        before = (await audit.head(one)).seq
        for number in range(40):
            await one.execute(LOOK, [f"person:{number}"])
        await asyncio.gather(*(write_all(writer) for writer in (one, two, three)))
        assert (await audit.head(one)).seq == before + 40
        assert await wrong(one) == []


async def write_all(connection: Any) -> None:
    while await audit.waiting(connection):
        await audit.append(connection, 7)


@pytest.mark.asyncio
async def test_the_writer_signs_every_five_minutes(written: Any) -> None:
    now = NOW
    writer = Writer(pool=None, now=lambda: now, key=KEY)  # type: ignore[arg-type]  # `once` is given its connection
    for minutes in (0, 4, 5, 9, 10):
        now = NOW.replace(minute=minutes)
        await writer.once(written)
    signed = await audit.checkpoints(written)
    assert [checkpoint.at.minute for checkpoint in signed] == [10, 5, 0]
    assert await wrong(written, signed) == []
    assert signed[0].head == await audit.head(written)


async def command(database: str, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vigil.audit", "verify", *arguments),
        env=os.environ | {"VIGIL_DATABASE_DSN": database},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@pytest.mark.asyncio
async def test_the_command_says_what_it_found(connect: Connect, database: str, tmp_path: Path) -> None:
    key, kept = write_public_key(KEY.public_key()), tmp_path / "checkpoints"
    async with connect() as connection:
        await act(connection)
        head = await audit.head(connection)
        await audit.keep(connection, sign(head, NOW, KEY))
    code, said = await command(database, "--key", key)
    assert (code, said.splitlines()[-1].rpartition(": ")[2]) == (0, "nothing wrong")
    kept.write_bytes(msgspec.json.encode(sign(Head(head.seq + 1, bytes(32)), NOW, KEY)) + b"\n")
    code, said = await command(database, "--key", key, "--checkpoints", str(kept))
    assert code == 1
    assert "its end was cut off" in said
    kept.write_text("{}\n")
    code, said = await command(database, "--key", key, "--checkpoints", str(kept))
    assert (code, "line 1" in said) == (2, True)
