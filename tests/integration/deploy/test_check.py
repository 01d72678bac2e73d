"""`python -m deploy.check` at real servers: what is well is said to be well, and each thing broken is named."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr

from deploy.check.__main__ import broker, database, log, processes
from deploy.embedded.servers import HOST, free_port
from deploy.pki.__main__ import Folder
from tests.conftest import lacking
from tests.servers import mosquitto
from tests.servers.mosquitto import Mosquitto
from vigil.clock import utc_now
from vigil.settings import CheckSettings
from vigil.telemetry import ops_server
from vigil.topics import ALARM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from deploy.check.judge import Finding
    from tests.conftest import Stack

pytestmark = pytest.mark.integration
USERS = {"ingest": "secret"}


def settings(**own: Any) -> CheckSettings:
    return CheckSettings(check_community="c1", **own)


def wrong(findings: Any) -> list[str]:
    found: list[Finding] = list(findings)
    assert found
    return [finding.says for finding in found if not finding.good]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Folder(tmp_path_factory.mktemp("pki"))
    folder.init("c1", utc_now())
    folder.server([HOST, "localhost"], utc_now())
    return folder.path


@pytest.fixture
def guarded(tmp_path: Path, pki: Path) -> Iterator[Mosquitto]:
    if reason := mosquitto.missing():
        lacking(reason)
    server = Mosquitto(tmp_path / "mqtt", users=USERS, community="c1", pki=pki)
    server.start()
    yield server
    server.stop()


def at(server: Mosquitto, **own: Any) -> CheckSettings:
    known = {"mqtt_username": "ingest", "mqtt_password": SecretStr("secret"), "mqtt_host": HOST}
    return settings(mqtt_port=server.port, **{**known, **own})


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_broker_as_shipped_has_nothing_against_it(guarded: Mosquitto, protocol: int) -> None:
    assert wrong(broker(at(guarded, mqtt_protocol=protocol), utc_now)) == []


def test_the_boxes_door_as_shipped_wants_a_certificate(guarded: Mosquitto, pki: Path) -> None:
    own = at(guarded, check_boxes=f"localhost:{guarded.tls_port}", check_boxes_ca=pki / "ca.pem")
    door = list(broker(own, utc_now))[2:]
    assert [finding.good for finding in door] == [True, True]


def test_a_door_of_another_authority_is_named(guarded: Mosquitto, tmp_path: Path) -> None:
    other = Folder(tmp_path / "other")
    other.init("c2", utc_now())
    own = at(guarded, check_boxes=f"localhost:{guarded.tls_port}", check_boxes_ca=other.path / "ca.pem")
    assert any("the boxes' listener does not answer" in says for says in wrong(broker(own, utc_now)))


def test_a_wrong_password_is_named(guarded: Mosquitto) -> None:
    assert "refuses ingest" in wrong(broker(at(guarded, mqtt_password=SecretStr("other")), utc_now))[-1]


def test_a_broker_without_users_and_access_list_is_named_twice(stack: Stack) -> None:
    found = wrong(broker(settings(mqtt_host=HOST, mqtt_port=stack.addresses.mqtt_port), utc_now))
    assert found[0] == "the broker lets anybody in"
    assert "not in force" in found[1]


def test_a_broker_that_is_away_is_named() -> None:
    assert "does not answer" in wrong(broker(settings(mqtt_host=HOST, mqtt_port=free_port()), utc_now))[0]


@pytest.mark.asyncio
async def test_the_log_s_topics_are_looked_at_and_a_missing_one_is_named(
    stack: Stack, topics: tuple[str, ...]
) -> None:
    own = settings(kafka_bootstrap=stack.addresses.kafka_bootstrap)
    assert wrong(await log(own)) == []
    assert topics
    assert "fewer than 3 brokers" in wrong(await log(own.model_copy(update={"check_replicas": 3})))[0]
    admin = AIOKafkaAdminClient(bootstrap_servers=own.kafka_bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([ALARM])
        while ALARM in await admin.list_topics():  # noqa: ASYNC110 - only Kafka knows when
            await asyncio.sleep(0.01)
    finally:
        await admin.close()
    assert wrong(await log(own)) == [f"Kafka lacks {ALARM}"]


@pytest.mark.asyncio
async def test_a_log_that_is_away_is_named() -> None:
    assert "Kafka does not answer" in wrong(await log(settings(kafka_bootstrap=f"{HOST}:{free_port()}")))[0]


@pytest.mark.asyncio
async def test_the_database_is_looked_at_as_its_owner(database_settings: CheckSettings) -> None:
    assert wrong(await database(database_settings, utc_now)) == []


@pytest.fixture
def database_settings(database: str) -> CheckSettings:
    return settings(database_dsn=SecretStr(database))


@pytest.mark.asyncio
async def test_a_database_without_its_schema_is_named(empty_database: str) -> None:
    found = wrong(await database(settings(database_dsn=SecretStr(empty_database)), utc_now))
    assert len(found) == 1
    assert "the schema lacks 0001" in found[0]


@pytest.mark.asyncio
async def test_who_is_a_superuser_is_told_that_rows_are_not_guarded(stack: Stack, database: str) -> None:
    admin = psycopg.conninfo.conninfo_to_dict(stack.postgres.admin_dsn)
    dsn = database.replace(
        database.split("//")[1].split("@", maxsplit=1)[0], f"{admin['user']}:{admin['password']}"
    )
    assert "superuser" in wrong(await database_of(dsn))[0]


async def database_of(dsn: str) -> list[Finding]:
    return await database(settings(database_dsn=SecretStr(dsn)), utc_now)


@pytest.mark.asyncio
async def test_a_database_that_is_away_is_named() -> None:
    found = await database_of(f"postgresql://vigil@{HOST}:{free_port()}/vigil")
    assert "PostgreSQL does not answer" in wrong(found)[0]


def test_processes_are_asked_and_one_that_is_away_or_not_ready_is_named() -> None:
    with ops_server(HOST, 0, {}) as well, ops_server(HOST, 0, {"mqtt": lambda: "down"}) as ill:
        listed = f"api={HOST}:{well},ingest={HOST}:{ill},bulk={HOST}:{free_port()}"
        found = wrong(processes(settings(check_processes=listed), utc_now))
    assert found[0] == "ingest is not ready: mqtt: down"
    assert found[1].startswith("bulk does not answer")


def test_a_watchdog_without_canaries_papers_or_backups_is_named() -> None:
    with ops_server(HOST, 0, {}) as port:
        listed = f"fallback={HOST}:{port},wal={HOST}:{port}"
        found = wrong(processes(settings(check_processes=listed, check_canary_s=0.5), utc_now))
    assert [says.split(" ")[0] for says in found] == ["no", "there", "never:", "never:"]
