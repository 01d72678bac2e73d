"""Kafka clients with the settings that lose nothing (pitfalls 12 to 19).

Used by `ingest.bridge` (producer), `processors.pipeline` (consumer and producer).  Offsets
are never committed to Kafka: they live in PostgreSQL beside the results.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from vigil.errors import Misconfigured, Unavailable
from vigil.logid import LogIdRequest, log_id
from vigil.topics import KAFKA_TOPICS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vigil.settings import KafkaSettings

METADATA_MS: Final = 5_000
"""How old a client's idea of topics and leaders may be.  A topic that was created a moment ago may not
be known to the broker that is asked; by default a consumer would look again after five minutes."""
STOP_S: Final = 5.0
"""Longest wait for a client to stop; without brokers it would hang (aiokafka #659)."""
BATCH_BYTES: Final = 256 * 1024
"""Of records before compression, in one batch of a partition.  aiokafka sends one batch of a partition
at a time: with its default of 16 KB a thousand telemetry events are thirty round trips."""
GATHER_BYTES: Final = 256 * 1024
GATHER_MS: Final = 50
"""How long the broker waits for so much.  At 1,000 events a second it makes batches of 50 out of 8."""
Producer = AIOKafkaProducer
PARTITIONS: Final = 6
"""Of each topic when we create it; a city sets its own."""


def access(settings: KafkaSettings) -> dict[str, Any]:
    """Return where the brokers are, how we know them, and how they know us.

    Raises:
        Misconfigured: A password without TLS, half of a pair, or a file that cannot be read.
    """
    _refuse_halves(settings)
    asked: dict[str, Any] = {"bootstrap_servers": settings.kafka_bootstrap}
    if settings.kafka_ca is None:
        return asked
    asked |= {"security_protocol": "SSL", "ssl_context": _context(settings)}
    if settings.kafka_username and settings.kafka_password:
        asked |= {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": settings.kafka_password.get_secret_value(),
        }
    return asked


def _refuse_halves(settings: KafkaSettings) -> None:
    for one, other in (("cert", "key"), ("key", "cert"), ("username", "password"), ("password", "username")):
        if getattr(settings, f"kafka_{one}") and not getattr(settings, f"kafka_{other}"):
            raise Misconfigured(
                f"VIGIL_KAFKA_{other.upper()}", f"is missing beside VIGIL_KAFKA_{one.upper()}"
            )
    if settings.kafka_ca is None and (settings.kafka_cert or settings.kafka_username):
        raise Misconfigured("VIGIL_KAFKA_CA", "is missing: we show ourselves over TLS alone")


def _context(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca)
        if settings.kafka_cert:
            context.load_cert_chain(settings.kafka_cert, settings.kafka_key)
    except (OSError, ssl.SSLError) as error:
        files = "VIGIL_KAFKA_CA, VIGIL_KAFKA_CERT or VIGIL_KAFKA_KEY"
        raise Misconfigured(files, f"cannot be used: {error}") from None
    return context


@asynccontextmanager
async def producer(settings: KafkaSettings, client_id: str) -> AsyncIterator[AIOKafkaProducer]:
    """Open a producer that counts a message as sent when every in-sync replica has it."""
    client = AIOKafkaProducer(
        **access(settings),
        client_id=client_id,
        metadata_max_age_ms=METADATA_MS,
        acks="all",
        enable_idempotence=settings.kafka_idempotent,
        compression_type="zstd",
        max_batch_size=BATCH_BYTES,
        max_request_size=1024 * 1024,
        request_timeout_ms=10_000,
    )
    try:
        await client.start()
    except KafkaError as error:
        await _stop(client)
        raise Unavailable("Kafka", error) from None
    try:
        yield client
    finally:
        await _stop(client)


@asynccontextmanager
async def consumer(
    settings: KafkaSettings,
    client_id: str,
    group: str | None = None,
    *,
    from_end: bool = False,
    gather: bool = False,
) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer that commits nothing by itself.

    Args:
        settings: Where Kafka is.
        client_id: Name in the broker's logs.
        group: Consumer group, or None to assign partitions by hand.
        from_end: For receipts alone: what was missed is sent again anyway.
        gather: Let the broker wait for more, but for alarms: a batch costs the processors as much as
            some fifty events, so one for every handful would keep them from the alarms.
    """
    client = AIOKafkaConsumer(
        **access(settings),
        client_id=client_id,
        metadata_max_age_ms=METADATA_MS,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="latest" if from_end else "earliest",
        session_timeout_ms=10_000,
        heartbeat_interval_ms=2_000,
        max_poll_interval_ms=300_000,
        fetch_min_bytes=GATHER_BYTES if gather else 1,
        fetch_max_wait_ms=GATHER_MS if gather else 100,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    try:
        await client.start()
    except KafkaError as error:
        await _stop(client)
        raise Unavailable("Kafka", error) from None
    try:
        yield client
    finally:
        await _stop(client)


async def _stop(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    _say_farewell(client)
    try:
        await asyncio.wait_for(client.stop(), STOP_S)
    except (TimeoutError, KafkaError):
        return


def _say_farewell(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Let a member of a group leave it also from generation 0, which is Tansu's first.

    aiokafka leaves from 1 on, which is Kafka's first: the broker would keep the place of a member that
    is gone, as the group's leader, and who comes next would wait 18 s for its session to end.
    """
    coordinator = getattr(client, "_coordinator", None)
    if coordinator is not None and getattr(coordinator, "generation", None) == 0:
        coordinator.generation = 1  # the leave-taking itself names the member alone


async def create_topics(settings: KafkaSettings, partitions: int = PARTITIONS, replicas: int = 1) -> None:
    """Create the platform's topics where they are missing.

    Raises:
        Unavailable: Kafka does not answer.
    """
    admin = AIOKafkaAdminClient(**access(settings))
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = [NewTopic(t, partitions, replicas) for t in KAFKA_TOPICS if t not in existing]
        if missing:
            _check_created(await admin.create_topics(missing))
    except KafkaError as error:
        raise Unavailable("Kafka", error) from None
    finally:
        await admin.close()


def _check_created(answer: Any) -> None:
    """Raise what the broker says against a topic; the client leaves that to us."""
    for topic, code, *_ in answer.topic_errors:
        error = for_code(code)
        if error not in (NoError, TopicAlreadyExistsError):  # somebody else may have been quicker
            raise error(topic)


async def incarnation(settings: KafkaSettings, subscribed: Sequence[str] = KAFKA_TOPICS) -> str:
    """Return what tells this log from one that it may be replaced by: the ids of cluster and topics.

    Args:
        settings: Where Kafka is; they may name the incarnation instead.
        subscribed: Of which topics; one of them that is deleted and created anew is another log.

    Raises:
        Unavailable: Kafka does not answer, or does not know one of the topics (yet).
    """
    if settings.kafka_incarnation:
        return settings.kafka_incarnation
    admin = AIOKafkaAdminClient(**access(settings), request_timeout_ms=5_000)
    try:
        await admin.start()
        return log_id(await admin._send_request(LogIdRequest(subscribed)))  # noqa: SLF001 - what its own calls do
    except (KafkaError, OSError) as error:
        raise Unavailable("Kafka", error) from None
    finally:
        await admin.close()
