"""Every route of the OpenAPI document x every role x own and another estate: denied unless granted.

The document says what is served, `api.permissions` what each route needs, `api.access` what each
role may.  Estate e2 mirrors e1 with names of its own, which nobody of e1 is ever shown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from api.access import GRANTS, ROBOTS, May, Role
from api.auth import COOKIE
from api.passwords import digest
from api.permissions import ROUTES, Need, Open, mays
from vigil.store import accounts
from vigil.store.accounts import NewAccount, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.trust]
SECRET: Final = "异区秘密"
"""Stands in every name and note of the other estate."""
OTHER: Final = """
    INSERT INTO zone (id, estate, name, building) VALUES ('z2', 'e2', 'SECRET 402', 'SECRET');
    INSERT INTO node (id, estate) VALUES ('n1', 'e1'), ('n2', 'e2');
    INSERT INTO device (id, node, zone, kind) VALUES ('d1', 'n1', 'z1', 'pendant'), ('d2', 'n2', 'z2', 'pendant');
    INSERT INTO resident (id, estate, home, name, phone, flagged, profile)
        VALUES ('r2', 'e2', 'z2', 'SECRET', '13999999999', true, '{"note": "SECRET"}');
    INSERT INTO assignment (device, resident) VALUES ('d1', 'r1'), ('d2', 'r2');
    INSERT INTO consent (resident, purpose, granted, text_version, given_by)
        SELECT id, 'family_access', true, '1', 'self' FROM resident;
""".replace("SECRET", SECRET)
NEVER_ENDS: Final = "GET /api/v1/stream"
ENDS_THE_SESSION: Final = ("DELETE /api/v1/session", "DELETE /api/v1/session/all")
STRICTER: Final = {
    "POST /api/v1/hand-ups/{hand_up}/take": "the street's centre alone",
    "POST /api/v1/changes/{change}/undo": "whoever may change that kind of thing",
    "GET /api/v1/audit": "whoever audits every estate",
    "POST /api/v1/session/second-factor": "asks for the password",
}
"""Routes that refuse more than the table does, with what they ask for."""
OWN: Final = "/api/v1/accounts/{account}/contacts"
"""Contacts: one's own, or of those whom one manages."""


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (method, path) of everything that the document names."""
    for path, item in document["paths"].items():
        for method in item.keys() & {"get", "put", "post", "delete", "patch"}:
            yield method.upper(), path


THINGS: Final = {
    "communities": ("c", "c2"),
    "estates": ("e1", "e2"),
    "buildings": ("b1", "b2"),
    "zones": ("z1", "z2"),
    "nodes": ("n1", "n2"),
    "devices": ("d1", "d2"),
    "residents": ("r1", "r2"),
}
NOBODYS: Final = "0b9b2f6e-6b0f-4d6e-9f43-1a6c1f6f4c11"


def filled(path: str, ids: dict[str, str]) -> str:
    """Fill a path's parameters in; what there is none of gets an id that is nobody's."""
    which = THINGS.get(path.split("/")[3], (NOBODYS, NOBODYS))
    here = ids | {"thing": which[ids["resident"] == "r2"]}
    return re.sub(r"{(\w+)}", lambda found: here.get(found[1], NOBODYS), path)


def grants(role: Role, need: Need) -> bool:
    if need is Open.PERSON:
        return role not in ROBOTS
    return set(mays(need)) <= GRANTS[role]


class People:
    """One client for each role, of estate e1 alone; sessions are made without the slow password."""

    def __init__(self, world: World, document: dict[str, Any]) -> None:
        self.world = world
        self.document = document
        self.clients: dict[Role, httpx.AsyncClient] = {}

    async def come(self) -> None:
        for role in Role:
            self.clients[role] = await (self._robot if role in ROBOTS else self._person)(role)

    async def _robot(self, role: Role) -> httpx.AsyncClient:
        return await self.world.robot(f"robot-{role}", role, ("e1",))

    async def _person(self, role: Role) -> httpx.AsyncClient:
        now, secret = self.world.clock(), f"secret of {role}"
        async with self.world.pool.connection() as connection:
            await accounts.put_account(connection, NewAccount(role, role, role, ("e1",)), None)
            later = now.replace(year=now.year + 1)
            await accounts.start_session(connection, role, digest(secret), "csrf", now, later)
        client = await self.world.client()
        client.cookies.set(COOKIE, secret)
        client.headers["X-CSRF-Token"] = "csrf"
        return client


@pytest.fixture
def ids() -> dict[str, dict[str, str]]:
    """What stands for the parameters of a path, by estate."""
    common = {"position": "1", "name": "night", "link": "x", "purpose": "home_camera"}
    return {
        "e1": common | {"resident": "r1", "node": "n1", "device": "d1", "account": "grid_worker"},
        "e2": common | {"resident": "r2", "node": "n2", "device": "d2", "account": "other"},
    }


async def prepared(world: World, ids: dict[str, dict[str, str]]) -> People:
    async with world.pool.connection() as connection:
        await connection.execute(OTHER.encode())
        await accounts.put_account(connection, NewAccount("other", SECRET, "supervisor", ("e2",)), None)
        await accounts.put_token(
            connection, Token("other", "reader", ["e2"]), b"x", world.clock(), world.clock()
        )
    for estate, resident in (("e1", "r1"), ("e2", "r2")):
        ids[estate]["alert"] = str(await world.raise_alert(estate=estate, resident=resident))
    document = (await (await world.client()).get("/api/v1/openapi.json")).json()
    people = People(world, document)
    await people.come()
    async with world.pool.connection() as connection:
        await connection.execute(
            """
            INSERT INTO account_resident (account, resident, relation, made_by, made_at)
            VALUES ('resident', 'r1', 'self', 'test', now()), ('family', 'r1', 'family', 'test', now())
            """
        )
    return people


async def ask(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    body = None if method in ("GET", "DELETE") else b"{}"
    return await client.request(method, path, content=body, headers={"Content-Type": "application/json"})


async def test_the_document_holds_every_route_of_the_table_and_nothing_else(world: World) -> None:
    document = (await (await world.client()).get("/api/v1/openapi.json")).json()
    named = {f"{method} {path}" for method, path in operations(document)}
    assert named == {route for route in ROUTES if "/api/v1/" in route} - {
        route for route in ROUTES if route.endswith(".ics") and route not in named
    }


async def test_every_route_is_closed_to_whoever_was_not_granted_it(
    world: World, ids: dict[str, dict[str, str]]
) -> None:
    people = await prepared(world, ids)
    stranger = await world.client()
    for method, path in operations(people.document):
        need, route = ROUTES[f"{method} {path}"], filled(path, ids["e1"])
        if need is Open.ANYBODY:
            continue
        assert (await ask(stranger, method, route)).status_code == 401, f"{method} {path}"
        for role, client in people.clients.items():
            if not grants(role, need):
                answer = await ask(client, method, route)
                assert answer.status_code == 403, f"{method} {path} as {role}: {answer.text}"
                assert SECRET not in answer.text


async def test_whoever_was_granted_a_route_comes_in_and_never_into_the_other_estate(
    world: World, ids: dict[str, dict[str, str]]
) -> None:
    people = await prepared(world, ids)
    wrong = []
    for method, path in operations(people.document):
        route = f"{method} {path}"
        if route in (NEVER_ENDS, *ENDS_THE_SESSION) or ROUTES[route] is Open.ANYBODY:
            continue
        here, there = filled(path, ids["e1"]), filled(path, ids["e2"])
        for role, client in people.clients.items():
            if grants(role, ROUTES[route]):
                own = await ask(client, method, here)
                wrong += [f"{route} as {role}: {own.text}"] * (not comes_in(route, own))
                if there != here:
                    other = await ask(client, method, there)
                    wrong += [f"{route} of e2 as {role}: {other.text}"] * (not stays_out(other))
    assert wrong == []


def comes_in(route: str, answer: httpx.Response) -> bool:
    """Whether an answer is the route's own, and tells nothing of the other estate."""
    denied = {401} if route in STRICTER or OWN in route else {401, 403}
    no_key = answer.status_code == 503 and answer.json()["type"].endswith("no_key")
    return (
        answer.status_code not in denied
        and (answer.status_code < 500 or no_key)
        and SECRET not in answer.text
    )


def stays_out(answer: httpx.Response) -> bool:
    """Whether the other estate's thing does not exist for its caller, or the request was no good anyway."""
    refused = answer.status_code in {403, 404, 409, 412, 422, 428, 503}
    nothing = answer.status_code == 200 and answer.json() in ([], {"items": [], "next": None})
    return (refused or nothing) and SECRET not in answer.text


@pytest.mark.parametrize("role", [Role.RESIDENT, Role.FAMILY])
async def test_residents_and_families_see_nothing_but_their_own(role: Role) -> None:
    assert GRANTS[role] <= {May.SEE_OWN, May.SAY_OWN, May.CONSENT_OWN}
    assert [other for other in Role if GRANTS[other] & GRANTS[role]] == [Role.RESIDENT, Role.FAMILY]


async def test_who_only_looks_changes_nothing() -> None:
    for role in (Role.AUDITOR, Role.READER):
        assert all(may.startswith("see_") for may in GRANTS[role])


async def test_who_looks_after_machines_sees_no_person() -> None:
    assert not GRANTS[Role.OPS] & {May.SEE_PEOPLE, May.SEE_HELPERS, May.SEE_FRAMES, May.SEE_ROSTER, May.TAKE}
