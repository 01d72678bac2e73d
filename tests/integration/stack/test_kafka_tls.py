"""Apache Kafka over TLS, with client certificates and SCRAM: who lacks one of the three stays outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from deploy.embedded.servers import free_port
from deploy.pki.__main__ import Folder
from tests.conftest import lacking
from tests.integration.stack.conftest import NOW
from tests.servers import kafka
from tests.servers.kafka import ApacheKafka, bootstrap
from vigil import pki
from vigil.errors import Unavailable
from vigil.kafka import consumer, create_topics, incarnation, producer
from vigil.settings import KafkaSettings
from vigil.topics import ALARM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.trust]
USER, PASSWORD = "vigil", "a long secret of these tests"


@pytest.fixture(scope="module")
def settings(authority: Folder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """Return what a process needs that is let in."""
    if reason := kafka.missing():
        lacking(reason)
    certificate, key = credentials(authority, "one-process")
    tls = {
        "KAFKA_TLS": str(authority.path),
        "KAFKA_USER": USER,
        "KAFKA_PASSWORD": PASSWORD,
        "KAFKA_INSIDE": str(free_port()),
    }
    server = ApacheKafka(tmp_path_factory.mktemp("kafka"), more=tls)
    server.start()
    yield KafkaSettings(
        kafka_bootstrap=bootstrap(server),
        kafka_ca=authority.path / "ca.pem",
        kafka_cert=certificate,
        kafka_key=key,
        kafka_username=USER,
        kafka_password=SecretStr(PASSWORD),
    )
    server.stop()


def credentials(authority: Folder, name: str) -> tuple[Path, Path]:
    """Write a certificate and its key."""
    key = pki.new_key()
    certificate, secret = authority.path / f"{name}.pem", authority.path / f"{name}.key"
    secret.write_bytes(pki.key_pem(key))
    certificate.write_bytes(authority.sign(name, pki.request(key, name), NOW))
    return certificate, secret


@pytest.mark.asyncio
async def test_with_certificate_and_password_everything_goes_its_way(settings: KafkaSettings) -> None:
    await create_topics(settings, partitions=1)
    assert await incarnation(settings)
    async with producer(settings, "test") as sending, consumer(settings, "test", "g") as receiving:
        await sending.send_and_wait(ALARM, b"fall")
        receiving.subscribe([ALARM])
        message = await receiving.getone()
    assert message.value == b"fall"


@pytest.mark.asyncio
async def test_who_lacks_one_of_the_three_or_trusts_another_authority_stays_outside(
    settings: KafkaSettings, tmp_path: Path
) -> None:
    other = Folder(tmp_path)
    other.init("c2", NOW)
    stranger, key = credentials(other, "stranger")
    outside = {
        "in clear": KafkaSettings(kafka_bootstrap=settings.kafka_bootstrap),
        "no certificate": settings.model_copy(update={"kafka_cert": None, "kafka_key": None}),
        "another authority's certificate": settings.model_copy(
            update={"kafka_cert": stranger, "kafka_key": key}
        ),
        "no password": settings.model_copy(update={"kafka_username": None, "kafka_password": None}),
        "a wrong password": settings.model_copy(update={"kafka_password": SecretStr("guess")}),
        "another authority trusted": settings.model_copy(update={"kafka_ca": other.path / "ca.pem"}),
    }
    let_in = []
    for what, asked in outside.items():
        try:
            await create_topics(asked)
        except Unavailable:
            continue
        let_in.append(what)
    assert let_in == []
