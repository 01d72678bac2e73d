"""`docs/reference/asyncapi.json`: both buses as an AsyncAPI 3 document, made of the code that checks them.

`python -m vigil.asyncapi > docs/reference/asyncapi.json`; a test compares the two.  Names come from
`vigil.topics`, shapes from the structs that decode the messages; what is said here and stands nowhere
else is who sends what, and what it is for.  Pure.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final, NamedTuple

import msgspec

from vigil import boxconfig, events, topics
from vigil.receipts import StoredReceipt
from vigil.topics import Address, Kind

Json = dict[str, Any]


class Way(NamedTuple):
    """A kind of MQTT message: what it says, who sends it, whether the broker keeps the last one."""

    what: str
    shapes: tuple[type[Any], ...]
    from_node: bool = True
    retained: bool = False


def _of_lane(kind: Kind) -> tuple[type[Any], ...]:
    return tuple(shape for name, shape in events.DATA.items() if name.startswith(f"vigil.{kind}."))


MQTT: Final[dict[Kind, Way]] = {
    Kind.STATE: Way("Whether a node is online; offline is its will.", (events.NodeState,), retained=True),
    Kind.BIRTH: Way("What a device is, and what its lanes have given out.", (events.Birth,), retained=True),
    Kind.ALARM: Way("What may need a person now; never behind anything else.", _of_lane(Kind.ALARM)),
    Kind.EVENT: Way("What happened in a place, or to the box itself.", _of_lane(Kind.EVENT)),
    Kind.TELEMETRY: Way("Batched readings with their own times.", _of_lane(Kind.TELEMETRY)),
    Kind.HEALTH: Way("What a device knows of itself, every 10 s.", _of_lane(Kind.HEALTH)),
    Kind.REPLY: Way("What became of a config or a command.", (events.Reply,)),
    Kind.RECEIPT: Way("Up to where everything of a lane is stored.", (events.Receipt,), from_node=False),
    Kind.CONFIG: Way("What the platform decided about a box.", (boxconfig.Document,), False, retained=True),
    Kind.CMD: Way("An order that is void after a moment.", (events.Command,), from_node=False),
}
KAFKA: Final[dict[str, str]] = {
    topics.ALARM: "Alarms that passed ingest's check, as they came.",
    topics.EVENT: "Events that passed ingest's check, as they came.",
    topics.TELEMETRY: "Readings that passed ingest's check, as they came.",
    topics.HEALTH: "Health that passed ingest's check, as it came.",
    topics.STATE: "States, births and replies; the header `topic` says of whom and which.",
    topics.DEAD: "What did not pass, untouched, with the reason in its headers; counts once its row is committed.",
    topics.RECEIPT: "Receipts from the processors, a list of them a record, for ingest to pass down.",
}
_TEXT: Final = {"type": "string"}
HEADERS: Final[dict[str, Json]] = {
    topics.STATE: {"topic": _TEXT},
    topics.DEAD: dict.fromkeys(("reason", "detail", "origin", "node", "boot", "lane", "seq"), _TEXT),
}
_SCHEMAS: Final = "#/components/schemas/{name}"
_LEVELS: Final = Address("{community}", "{estate}", "{node}")


def document() -> Json:
    """Return the document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Vigil's buses",
            "version": "1",
            "description": "MQTT between boxes and platform, Kafka inside the platform. "
            "Actions are the platform's: it receives what boxes send.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "mqtt": {"host": "mqtt.vigil.example:8883", "protocol": "secure-mqtt"},
            "kafka": {"host": "kafka.vigil.example:9093", "protocol": "kafka-secure"},
        },
        "channels": _channels(),
        "operations": _operations(),
        "components": {"parameters": _parameters(), "messages": _messages(), "schemas": _schemas()},
    }


def _channels() -> Json:
    platform = {
        "address": topics.platform_state("{community}"),
        "description": "Whether the platform is up, and whether it is storing; retained.",
        "servers": [_ref("servers/mqtt")],
        "parameters": {"community": _ref("components/parameters/community")},
        "messages": {"PlatformState": _ref("components/messages/PlatformState")},
    }
    channels: Json = {f"mqtt.{kind}": _mqtt(kind, way) for kind, way in MQTT.items()}
    channels["mqtt.platform.state"] = platform
    return channels | {f"kafka.{topic}": _kafka(topic, what) for topic, what in KAFKA.items()}


def _mqtt(kind: Kind, way: Way) -> Json:
    address = _LEVELS.topic(kind, "{device}" if topics.has_device(kind) else None)
    names = [level.strip("{}") for level in address.split("/") if level.startswith("{")]
    return {
        "address": address,
        "description": way.what,
        "servers": [_ref("servers/mqtt")],
        "parameters": {name: _ref(f"components/parameters/{name}") for name in names},
        "messages": {_name(shape): _ref(f"components/messages/{_name(shape)}") for shape in way.shapes},
    }


def _kafka(topic: str, what: str) -> Json:
    return {
        "address": topic,
        "description": what,
        "servers": [_ref("servers/kafka")],
        "messages": {name: _ref(f"components/messages/{name}") for name in _in_kafka(topic)},
    }


def _in_kafka(topic: str) -> list[str]:
    if topic == topics.DEAD:
        return ["DeadLetter"]
    if topic == topics.RECEIPT:
        return ["StoredReceipts"]
    kinds = [kind for kind, into in topics.KAFKA_OF_KIND.items() if into == topic]
    return [f"kafka.{_name(shape)}" for kind in kinds for shape in MQTT[kind].shapes]


def _operations() -> Json:
    operations: Json = {}
    for kind, way in MQTT.items():
        operations[f"{'receive' if way.from_node else 'send'}.{kind}"] = {
            "action": "receive" if way.from_node else "send",
            "channel": _ref(f"channels/mqtt.{kind}"),
            "bindings": {"mqtt": {"qos": 1, "retain": way.retained, "bindingVersion": "0.2.0"}},
        }
    operations["send.platform.state"] = {
        "action": "send",
        "channel": _ref("channels/mqtt.platform.state"),
        "bindings": {"mqtt": {"qos": 1, "retain": True, "bindingVersion": "0.2.0"}},
    }
    for topic in KAFKA:
        for action in ("send", "receive"):
            operations[f"{action}.{topic}"] = {"action": action, "channel": _ref(f"channels/kafka.{topic}")}
    return operations


def _parameters() -> Json:
    return {
        "community": {"description": "Opaque id of a community."},
        "estate": {"description": "Opaque id of an estate in it."},
        "node": {"description": "Opaque id of an edge box; its user name at the broker."},
        "device": {"description": "Opaque id of a device at the box."},
    }


def _messages() -> Json:
    plain = {_name(shape): shape for way in MQTT.values() for shape in way.shapes}
    plain["PlatformState"] = events.PlatformState
    messages = {name: _message(shape) for name, shape in plain.items()}
    for topic in KAFKA:
        for name in _in_kafka(topic):
            shape = plain.get(name.removeprefix("kafka."))
            messages[name] = _record(topic, shape)
    return messages


def _message(shape: type[Any]) -> Json:
    payload = _event(shape) if shape in events.TYPE_OF else _ref_of(shape)
    title = events.TYPE_OF.get(shape, shape.__name__)
    return {"title": title, "summary": _first(shape), "payload": payload}


def _record(topic: str, shape: type[Any] | None) -> Json:
    """Return a Kafka record: the message of a box, or what has no MQTT message of its own."""
    if topic == topics.RECEIPT:
        listed = {"type": "array", "items": _ref_of(StoredReceipt)}
        message: Json = {"title": "receipts", "summary": _first(StoredReceipt), "payload": listed}
    elif shape is None:
        message = {
            "title": "dead letter",
            "summary": "Bytes as they came; nothing is known of them.",
            "payload": {},
        }
    else:
        message = _message(shape)
    message["bindings"] = {"kafka": {"key": {"type": "string", "description": "The node's id."}}}
    if topic in HEADERS:
        message["headers"] = {"type": "object", "properties": HEADERS[topic]}
    return message


def _event(shape: type[Any]) -> Json:
    """Return the payload of an event: the envelope, with this type and its data."""
    this = {"type": {"const": events.TYPE_OF[shape]}, "data": _ref_of(shape)}
    return {"allOf": [_ref_of(events.Envelope), {"type": "object", "properties": this}]}


def _schemas() -> Json:
    shapes = [shape for way in MQTT.values() for shape in way.shapes]
    _, schemas = msgspec.json.schema_components(
        [*shapes, events.Envelope, events.PlatformState, StoredReceipt], ref_template=_SCHEMAS
    )
    return {name: _ecma(schema) for name, schema in sorted(schemas.items())}


def _ecma(schema: Any) -> Any:
    r"""Return a schema with the end of its patterns as ECMAScript writes it, which knows no `\Z`."""
    if isinstance(schema, dict):
        return {
            key: value.replace(r"\Z", "$") if key == "pattern" else _ecma(value)
            for key, value in schema.items()
        }
    return [_ecma(one) for one in schema] if isinstance(schema, list) else schema


def _first(shape: type[Any]) -> str:
    return (shape.__doc__ or "").partition("\n")[0]


def _name(shape: type[Any]) -> str:
    return shape.__name__


def _ref(path: str) -> Json:
    return {"$ref": f"#/{path}"}


def _ref_of(shape: type[Any]) -> Json:
    return {"$ref": _SCHEMAS.format(name=shape.__name__)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=1) + "\n")
