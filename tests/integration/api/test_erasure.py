"""Everything about somebody, given to them and erased: on a real database, sealed as in production."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import psycopg
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.erasure import perform
from tests.integration.api.conftest import problem
from vigil.errors import Rejected
from vigil.store import subject
from vigil.store.erasure import STEPS
from vigil.store.sealed import sealer_of

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import FakeClock, World

pytestmark = [pytest.mark.integration, pytest.mark.trust]
HOME = """
    UPDATE resident SET profile = '{"note": "<b>大黄狗</b>", "family": [{"name": "张伟", "phone": "13900000002"}]}'
        WHERE id = 'r1';
    INSERT INTO resident (id, estate, name) VALUES ('r9', 'e1', '邻居');
    INSERT INTO node (id, estate) VALUES ('n1', 'e1');
    INSERT INTO device (id, node, kind, placement) VALUES ('p1', 'n1', 'pendant', 'waist');
    INSERT INTO assignment (device, resident, since) VALUES ('p1', 'r1', '2026-01-01Z');
    INSERT INTO event (time, id, node, device, type, boot, lane, seq, received_at, clock, data)
        VALUES ('2026-02-01Z', gen_random_uuid(), 'n1', 'p1', 'vigil.alarm.sos.v1', '1-a', 'alarm', 1,
                '2026-02-01Z', 'synced', '{"peak_g": 2.5}');
    INSERT INTO consent (resident, purpose, granted, text_version, given_by, guardian, proof)
        VALUES ('r1', 'fall_detection', true, '2026-11', 'guardian', '张伟', 'paper 17');
    INSERT INTO sheet_note (resident, what, note, actor, written_at, received_at)
        VALUES ('r1', 'well', '女儿张敏在家', 'person:li', now(), now());
    INSERT INTO account_resident (account, resident, relation, made_by, made_at)
        VALUES ('wang', 'r1', 'self', 'person:boss', now());
"""
WORDS = ("王秀英", "13900000001", "大黄狗", "张伟", "13900000002", "张敏", "paper 17")
ERASURE = "/api/v1/residents/r1/erasure"


@pytest_asyncio.fixture
async def people(world: World) -> dict[str, httpx.AsyncClient]:
    clients = {
        "wang": await world.person("wang", "resident", ("e1",)),
        "boss": await world.person("boss", "community_manager", ("e1",)),
        "second": await world.person("second", "supervisor", ("e1",)),
        "li": await world.person("li", "duty_officer", ("e1",)),
    }
    async with world.pool.connection() as connection:
        await connection.execute(HOME.encode())
    await world.raise_alert("resident:r1")
    return clients


async def everything(world: World) -> str:
    """Return every row of every table."""
    async with world.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        )
        found = []
        for (table,) in await cursor.fetchall():
            query = psycopg.sql.SQL("SELECT t::text FROM {} t").format(psycopg.sql.Identifier(table))
            found += await (await connection.execute(query)).fetchall()
    return str(found)


@pytest.mark.asyncio
async def test_a_resident_takes_everything_that_is_known_as_a_file_and_as_a_page(
    people: dict[str, httpx.AsyncClient],
) -> None:
    answer = await people["wang"].get("/api/v1/me/r1/export")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    sections = answer.json()["sections"]
    assert list(sections) == [section.table for section in subject.SECTIONS]
    assert sections["resident"]["rows"][0]["profile"]["note"] == "<b>大黄狗</b>"
    assert sections["event"]["rows"][0]["data"] == {"peak_g": 2.5}
    for table in (
        "consent",
        "assignment",
        "alert",
        "detection",
        "alert_transition",
        "sheet_note",
        "account_resident",
    ):
        assert len(sections[table]["rows"]) == 1, table
    page = (await people["wang"].get("/api/v1/me/r1/export", params={"form": "html", "language": "en"})).text
    assert "&lt;b&gt;大黄狗" in page
    assert "<b>" not in page
    assert "What you agreed to" in page
    problem(await people["wang"].get("/api/v1/me/r9/export"), 404)


@pytest.mark.asyncio
async def test_staff_hand_it_out_on_request_and_it_is_written_down(
    people: dict[str, httpx.AsyncClient],
) -> None:
    path = "/api/v1/residents/r1/export"
    problem(await people["boss"].get(path), 422)
    answer = await people["boss"].get(path, params={"request": "letter 26-017"})
    assert answer.json()["sections"]["resident"]["rows"][0]["name"] == "王秀英"
    problem(await people["second"].get(path, params={"request": "letter 26-017"}), 403)
    (look,) = (await people["wang"].get("/api/v1/me/r1/looks")).json()["items"]
    assert (look["actor"], look["purpose"], look["what"]) == ("person:boss", "export", "export:letter 26-017")


@pytest.mark.asyncio
async def test_whatever_table_names_residents_or_alerts_is_given_or_exempt_with_a_reason(
    world: World,
) -> None:
    async with world.pool.connection() as connection:
        cursor = await connection.execute(
            """
            SELECT DISTINCT table_name FROM information_schema.columns
            WHERE table_schema = 'public' AND column_name IN ('resident', 'residents', 'alert')
            """
        )
        named = {table for (table,) in await cursor.fetchall()}
    given = {section.table for section in subject.SECTIONS}
    assert named - given - subject.EXEMPT.keys() == set()
    assert not given & subject.EXEMPT.keys()
    assert all(subject.EXEMPT.values())


@pytest.mark.asyncio
async def test_one_asks_another_carries_it_out_and_nothing_personal_is_left(
    world: World, people: dict[str, httpx.AsyncClient]
) -> None:
    assert [word for word in WORDS if word not in await everything(world)] == []
    asked = await people["boss"].post(ERASURE, json={"request": "letter 26-018"})
    assert asked.status_code == 201, asked.text
    problem(await people["second"].post(ERASURE, json={"request": "again"}), 409)
    assert problem(await people["boss"].post(f"{ERASURE}/carry-out"), 403)["type"].endswith("second_person")
    assert "王秀英" in await everything(world)
    done = await people["second"].post(f"{ERASURE}/carry-out")
    assert done.status_code == 200, done.text
    assert [word for word in WORDS if word in await everything(world)] == []
    certificate = json.loads(done.json()["certificate"])
    assert (certificate["asked_by"], certificate["done_by"], certificate["key"]) == (
        "person:boss",
        "person:second",
        "destroyed",
    )
    assert certificate["rows"]["sheet_note"] == 1
    problem(await people["second"].post(f"{ERASURE}/carry-out"), 409)
    problem(await people["boss"].delete(ERASURE), 409)
    assert (await people["wang"].get("/api/v1/me")).status_code == 401


@pytest.mark.asyncio
async def test_what_counts_alerts_and_events_stays(
    world: World, people: dict[str, httpx.AsyncClient]
) -> None:
    await people["boss"].post(ERASURE, json={"request": "letter 26-018"})
    await people["second"].post(f"{ERASURE}/carry-out")
    async with world.pool.connection() as connection:
        cursor = await connection.execute(
            """
            SELECT (SELECT count(*) FROM alert WHERE resident = 'r1'), (SELECT count(*) FROM event),
                   (SELECT bool_or(granted) FROM consent WHERE resident = 'r1'),
                   (SELECT flagged FROM resident WHERE id = 'r1'),
                   (SELECT count(*) FROM audit_waiting WHERE note->>'thing' IN ('erasure', 'resident_key'))
            """
        )
        (found,) = await cursor.fetchall()
    assert found == (1, 1, True, False, 3)


@pytest.mark.asyncio
async def test_nothing_is_written_of_who_was_erased(
    world: World, people: dict[str, httpx.AsyncClient]
) -> None:
    await people["boss"].post(ERASURE, json={"request": "letter 26-018"})
    await people["second"].post(f"{ERASURE}/carry-out")
    async with world.pool.connection() as connection:
        with pytest.raises(Rejected, match="erased"):
            await sealer_of(connection, "r1")
    body = {"key_holders": [], "family": [], "note": "again"}
    path = "/api/v1/residents/r1/helpers"
    seen = (await people["boss"].get(path)).headers["ETag"]
    refused = await people["boss"].put(path, json=body, headers={"If-Match": seen})
    assert problem(refused, 422)["type"].endswith("erased")


@pytest.mark.asyncio
async def test_a_request_can_be_withdrawn_and_made_anew(people: dict[str, httpx.AsyncClient]) -> None:
    problem(await people["boss"].get(ERASURE), 404)
    problem(await people["second"].post(f"{ERASURE}/carry-out"), 404)
    await people["boss"].post(ERASURE, json={"request": "letter 26-018"})
    assert (await people["second"].delete(ERASURE)).status_code == 204
    problem(await people["second"].post(f"{ERASURE}/carry-out"), 404)
    assert (await people["boss"].post(ERASURE, json={"request": "letter 26-019"})).status_code == 201
    assert (await people["second"].get(ERASURE)).json()["request"] == "letter 26-019"
    problem(await people["li"].get(ERASURE), 403)


@pytest.mark.asyncio
async def test_a_certificate_is_signed_where_the_platform_has_a_key(
    world: World, people: dict[str, httpx.AsyncClient], clock: FakeClock
) -> None:
    await people["boss"].post(ERASURE, json={"request": "letter 26-018"})
    key = Ed25519PrivateKey.generate()
    async with world.pool.transaction() as connection:
        done = await perform(connection, "r1", "person:second", key, clock())
    assert done.certificate is not None
    assert done.signature is not None
    key.public_key().verify(base64.b64decode(done.signature), done.certificate.encode())


@pytest.mark.asyncio
async def test_what_was_written_once_is_taken_back_only_after_the_key_is_destroyed(world: World) -> None:
    async with world.pool.connection() as connection:
        with pytest.raises(psycopg.errors.RaiseException, match="not destroyed"):
            await connection.execute("SELECT erase_written('r1')")


def test_every_statement_of_erasing_is_about_one_resident() -> None:
    about = [step for _, step in STEPS if "%(resident)s" not in step and "%(subject)s" not in step]
    assert about == []
