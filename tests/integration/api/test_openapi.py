"""The OpenAPI document against the application: whatever is asked, nothing is our fault.

Requests are made out of the document by schemathesis: every operation, with values that fit it
and with values that do not.
"""

from __future__ import annotations

import asyncio
import base64
import os
import warnings
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable

from api.escalation import webpush
from deploy.pki.__main__ import main as pki
from tests.integration.api.conftest import PASSWORD, problem
from tests.integration.api.test_process import running
from vigil.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from schemathesis import Case
    from schemathesis.core.transport import Response

pytestmark = [pytest.mark.integration, pytest.mark.slow]
EXAMPLES: Final = int(os.environ.get("VIGIL_OPENAPI_EXAMPLES", "4"))
"""Of each operation and mode; a night with more is `VIGIL_OPENAPI_EXAMPLES=200`."""
SEED: Final = 20260301
OF_THE_SESSION: Final = "/api/v1/session"
"""What lies below may end it, or ask for a second factor from then on: changed without a session here."""
NEVER_ENDS: Final = ("GET", "/api/v1/stream")
"""Its answer is a live stream; it is asked without a session here, and tested on its own."""


@pytest.fixture
def manager(database: str, tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of the application with a small registry, and the headers of somebody who may do the most."""

    asyncio.run(_seed(database))
    with running(database, **_keys(tmp_path)) as (_, client):
        login = {"account": "boss", "password": PASSWORD}
        client.post("/api/v1/session", json=login).raise_for_status()
        csrf = client.get("/api/v1/session").json()["csrf"]
        cookie = f"vigil_session={client.cookies['vigil_session']}"
        yield str(client.base_url), {"Cookie": cookie, "X-CSRF-Token": csrf}


def _keys(folder: Path) -> dict[str, str]:
    """Set up everything that the platform needs a key for: without one it says 503 with reason."""
    (folder / "roster.key").write_text(base64.b64encode(bytes(32)).decode())
    (folder / "push.key").write_text(webpush.new_key())
    pki(["--folder", str(folder / "ca"), "init", "test"], utc_now())
    pki(["--folder", str(folder / "ca"), "frames"], utc_now())
    return {
        "VIGIL_API_PUSH_KEY": str(folder / "push.key"),
        "VIGIL_API_ROSTER_KEY": str(folder / "roster.key"),
        "VIGIL_API_DEVICE_CA": str(folder / "ca"),
        "VIGIL_API_BROKER": "127.0.0.1:8883",
        "VIGIL_API_ADDRESS_A_SECOND": "1000000",
        "VIGIL_API_ACCOUNT_A_SECOND": "1000000",
    }


async def _seed(database: str) -> None:
    from pydantic import SecretStr

    from tests.integration.api.conftest import FAST, REGISTRY
    from vigil.store import accounts
    from vigil.store.accounts import NewAccount
    from vigil.store.pool import open_pool

    async with open_pool(SecretStr(database), "test", 1) as pool, pool.connection() as connection:
        await connection.execute(REGISTRY)
        for account, role in (("boss", "community_manager"), ("li", "duty_officer")):
            new = NewAccount(account, account, role, ("*",))
            await accounts.put_account(connection, new, FAST.hash(PASSWORD))


def operations(url: str) -> Iterator[tuple[str, str, Any]]:
    """Yield method, path and strategy of every operation, for requests that fit and that do not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # schemathesis' own dependencies are not ours to mend
        import schemathesis
        from schemathesis import GenerationMode
        from schemathesis.core.result import Ok

        schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), "the document is no valid OpenAPI"
            operation = found.ok()
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                yield operation.method.upper(), operation.path, operation.as_strategy(generation_mode=mode)


def ask(strategy: Any, headers: dict[str, str], seen: Counter[int], wrong: list[str]) -> None:
    """Make requests of one operation, and note what is our fault."""

    @seed(SEED)
    @settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def run(case: Case[Any]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer: Response = case.call(headers=dict(case.headers or {}) | headers, timeout=30)
        seen[answer.status_code] += 1
        if answer.status_code >= 500:
            wrong.append(f"{answer.status_code}: {case.as_curl_command()}")

    with suppress(Unsatisfiable):  # an operation that takes nothing can be asked nothing wrong
        run()


def test_no_request_that_can_be_made_out_of_the_document_is_answered_with_our_fault(
    manager: tuple[str, dict[str, str]],
) -> None:
    url, headers = manager
    seen, strangers = Counter[int](), Counter[int]()
    wrong, asked = list[str](), set[tuple[str, str]]()
    for method, path, strategy in operations(url):
        asked.add((method, path))
        nobody = (method, path) == NEVER_ENDS or (method != "GET" and path.startswith(OF_THE_SESSION))
        ask(strategy, {} if nobody else headers, strangers if nobody else seen, wrong)
    assert wrong == [], seen
    assert len(asked) > 50
    assert seen[200] > 20, seen  # it was the application that answered, not its doorkeeper
    assert seen[401] <= EXAMPLES, seen


def test_the_document_gives_errors_as_problems_and_examples_of_what_to_send(
    manager: tuple[str, dict[str, str]],
) -> None:
    document = httpx.get(f"{manager[0]}/api/v1/openapi.json").json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert "application/problem+json" in operation["responses"]["422"]["content"], (method, path)
            assert operation.get("description"), (method, path)
    bodies = {name for name in document["components"]["schemas"] if name.endswith("Body")}
    assert len(bodies) > 10


def test_a_path_that_is_none_is_a_problem_too(manager: tuple[str, dict[str, str]]) -> None:
    problem(httpx.get(f"{manager[0]}/api/v1/nothing"), 404)
