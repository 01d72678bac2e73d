"""What tells one Kafka log from another that it may be replaced by: the ids of cluster and topics.

Used by `vigil.kafka.incarnation`.  A topic's id is new when it is created anew, and is reported from
version 10 of the metadata request on (Kafka 2.8); aiokafka 0.14 speaks version 5.  So the two shapes
are written down here, in aiokafka's own words; a broker that has no version 10 is asked by version 2
and reports the cluster's id alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v2
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BytesIO

_UUID_BYTES: Final = 16
_TEXT: Final = CompactString("utf-8")


class Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka is untyped
    """16 bytes, as they come."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        """Return them."""
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        """Read them."""
        return data.read(_UUID_BYTES)


class MetadataResponse10(Response):  # type: ignore[misc]
    """Version 10, of which the cluster's id and the topics' are of interest here."""

    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), ("tags", TaggedFields)
            ),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class MetadataRequest10(RequestStruct):  # type: ignore[misc]
    """Version 10."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = MetadataResponse10
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("name", _TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class LogIdRequest(Request[MetadataRequest_v2 | MetadataRequest10]):  # type: ignore[misc]
    """Asks for the ids of the cluster and of some topics."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[Any]) -> Any:
        """Return the request in the newest version that the broker speaks."""
        if request_struct_class is MetadataRequest_v2:
            return MetadataRequest_v2(list(self._topics))
        topics: list[Any] = [(bytes(_UUID_BYTES), topic, {}) for topic in self._topics]
        return MetadataRequest10(topics, False, False, False, {})


def log_id(answer: Response) -> str:
    """Return the ids that an answer holds as one text: the cluster's, then those of the topics by name.

    Raises:
        KafkaError: A topic is not known (yet).
    """
    found = answer.to_object()
    for topic in found["topics"]:
        if topic["error_code"]:
            raise for_code(topic["error_code"])(topic.get("name", topic.get("topic")))
    ids = {topic["name"]: topic["topic_id"] for topic in found["topics"] if any(topic.get("topic_id", b""))}
    return "/".join([str(found["cluster_id"]), *(str(UUID(bytes=ids[name])) for name in sorted(ids))])
