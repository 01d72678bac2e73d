"""The envelope of every event, what may stand in it, and the small messages beside it.

Place in the flow: `edge.spool` makes events, `ingest.translate` checks them against their
topic, `processors` decide on them.  CloudEvents 1.0 in JSON structured mode, decoded by
msgspec.  `id` and `time` are fixed when the event is made and never change.

An event's sequence number is gap-free per (node, boot, lane), beginning with 1, and its id
is derived from those four, so that a re-sent event is recognised wherever it turns up.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, Protocol, Union

import msgspec
from msgspec import Meta, Struct

from vigil.errors import Rejected
from vigil.topics import Address, Kind, Lane, Topic

MAX_PAYLOAD: Final = 64 * 1024
"""Bytes of an event's JSON; a window of 200 samples takes 3 kB, a pose sequence 8 kB."""
NAMESPACE: Final = uuid.UUID("6f1b1f0e-6a0c-5d0a-9d2e-0c5a8f2f7d11")
"""Of every id the platform derives."""
_NAMESPACE: Final = NAMESPACE.bytes
_UUID_VERSION_5: Final = 0x5000_8000_0000_0000_0000
_UUID_BITS: Final = ~0xF000_C000_0000_0000_0000
"""RFC 9562: the bits that say version and variant; all others are the hash's."""

# \Z and not $, which would let a line feed pass at the end.
_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z"
_BOOT: Final = r"^[0-9]{1,9}-[0-9a-f]{8}\Z"
_QUANTITY: Final = r"^[a-z][a-z0-9_]{0,47}\Z"
Id = Annotated[str, Meta(pattern=_ID)]
Boot = Annotated[str, Meta(pattern=_BOOT)]
Seq = Annotated[int, Meta(ge=1, le=2**62)]
Score = Annotated[float, Meta(ge=0, le=1)]
Clock = Literal["synced", "holdover", "unsynced"]
Synthetic = Literal["canary", "drill", "demo"]
Moment = Annotated[datetime, Meta(tz=True)]


def derived_id(*parts: object) -> uuid.UUID:
    """Return the id of an output, derived from what it was made of."""
    return uuid.UUID(int=_derived("/".join(map(str, parts))))


def _derived(name: str) -> int:
    """Return the number of the UUIDv5 of a name; as `uuid.uuid5`, in a third of its time."""
    digest = hashlib.sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:16], "big") & _UUID_BITS | _UUID_VERSION_5


def event_id(node: str, boot: str, lane: Lane, seq: int) -> uuid.UUID:
    """Return the id of the event with this sequence number."""
    return derived_id("event", node, boot, lane, seq)


def _is_event_id(id_: uuid.UUID, node: str, boot: str, lane: Lane, seq: int) -> bool:
    """Return whether `id_` is `event_id` of the rest; a tenth of the cost of making that to compare."""
    return id_.int == _derived(f"event/{node}/{boot}/{lane}/{seq}")


_id_of = lru_cache(maxsize=65536)(re.compile(_ID).match)
_boot_of = lru_cache(maxsize=65536)(re.compile(_BOOT).match)
_quantity_of = lru_cache(maxsize=1024)(re.compile(_QUANTITY).match)
"""Whether a name is as it has to be; the same names come again and again."""


class Envelope(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A CloudEvent as it travels; `data` is decoded by `decode_data`.

    Attributes:
        id: Derived by `event_id`.
        source: `//vigil/{community}/{estate}/{node}`.
        subject: The device.
        type: A key of `DATA`.
        time: When it happened, by the device's clock.
        boot: Ordinal and random id of the spool's opening, such as `12-9f3a1c04`.
        lane: The stream in which `seq` counts.
        seq: Gap-free per node, boot and lane, from 1.
        age: Seconds since it happened, at sending, by the edge's monotonic clock; None where
            the edge cannot know (made before a reboot without a synced clock).
        clock: How far the device's clock is to be trusted.
        clockerr: Bound of its error in seconds.
        replayed: Sent again, or sent late.
        synthetic: Honoured only from senders registered for it.
    """

    id: uuid.UUID
    source: str
    subject: Id
    type: str
    time: Moment
    boot: Boot
    lane: Lane
    seq: Seq
    data: msgspec.Raw
    specversion: Literal["1.0"]
    datacontenttype: Literal["application/json"] = "application/json"
    age: Annotated[float, Meta(ge=0)] | None = None
    clock: Clock = "unsynced"
    clockerr: Annotated[float, Meta(ge=0)] = 0.0
    replayed: bool = False
    synthetic: Synthetic | None = None


class FallSuspected(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`edge.trigger` cut out an impact.

    Attributes:
        accel_mg: 200 samples of x, y, z in milli-g, flattened, the peak at sample 100.
        peak_g: Largest magnitude in g.
        rate_hz: Samples a second.
        placement: Where the device is worn.
        episode: Joins windows and stillness that belong together.
    """

    accel_mg: Annotated[list[Annotated[int, Meta(ge=-32768, le=32767)]], Meta(min_length=600, max_length=600)]
    peak_g: Annotated[float, Meta(ge=0)]
    placement: Literal["waist", "chest", "wrist"]
    episode: str
    rate_hz: Literal[50] = 50
    zone: Id | None = None


class PoseSuspected(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`edge.vision` saw a trunk drop; only key points leave the camera.

    Attributes:
        keypoints: A frame each: 17 points of x, y (thousandths of the frame) and confidence
            (percent), flattened to 51; oldest first.
        rate_hz: Frames a second.
        aspect: Width divided by height of the frame.
        track: The person's track, unique within episode and device.
        score: What the edge's own rule made of it.
    """

    keypoints: Annotated[
        list[Annotated[list[Annotated[int, Meta(ge=-1000, le=2000)]], Meta(min_length=51, max_length=51)]],
        Meta(min_length=1, max_length=120),
    ]
    rate_hz: Annotated[float, Meta(gt=0, le=60)]
    aspect: Annotated[float, Meta(gt=0)]
    track: int
    episode: str
    score: Score
    model: str
    model_version: str
    zone: Id | None = None


class Stillness(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long the wearer lay still after an impact: `still_s` of `watched_s` seconds."""

    episode: str
    still_s: Annotated[float, Meta(ge=0)]
    watched_s: Annotated[float, Meta(ge=0)]
    zone: Id | None = None


class Sos(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody asked for help; needs no consent to detection."""

    by: Literal["button", "cord", "hub", "page"]
    zone: Id | None = None


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The resident answered the question whether all is well."""

    answer: Literal["fine", "help"]
    episode: str | None = None
    zone: Id | None = None


class Hazard(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Smoke, gas or water; needs no consent to detection."""

    hazard: Literal["smoke", "gas", "water"]
    active: bool = True
    zone: Id | None = None


class SensorChanged(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A binary sensor of the home changed: a door, a bed, a tap, a motion detector."""

    sensor: Literal["motion", "door", "bed", "chair", "appliance", "water_use", "presence"]
    state: bool
    zone: Id | None = None


class Readings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Batched readings of one quantity, `interval_s` apart, the first at the event's time."""

    quantity: str
    interval_s: Annotated[float, Meta(gt=0)]
    values: Annotated[list[float], Meta(min_length=1, max_length=2000)]
    zone: Id | None = None

    def __post_init__(self) -> None:
        """Check the quantity, which is half the cost of decoding where msgspec does it."""
        if _quantity_of(self.quantity) is None:
            raise ValueError("`quantity` is not of a-z, 0-9 and _")


class DeviceHealth(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a device knows of itself; None is "not measured", never "fine"."""

    spool_depth: int | None = None
    spool_bytes: int | None = None
    battery_pct: float | None = None
    temperature_c: float | None = None
    disk_free_mb: float | None = None
    clock_offset_s: float | None = None
    last_frame_s: float | None = None
    picture_change: float | None = None
    brightness: float | None = None
    blur: float | None = None
    shift: float | None = None
    trouble: list[str] = []
    worn: bool | None = None
    zone: Id | None = None


class Shed(Struct, frozen=True, kw_only=True):
    """The spool was full: these sequence numbers, both ends included, were given up."""

    of_boot: Boot
    of_lane: Lane
    first: Seq
    last: Seq
    reason: Literal["spool_full", "spool_corrupt"]


class Tombstone(Struct, frozen=True, kw_only=True):
    """A row that the platform never stored while later ones were; set aside at the edge."""

    of_boot: Boot
    of_lane: Lane
    of_seq: Seq
    sent: int


class LocalAlarm(Struct, frozen=True, kw_only=True):
    """The edge sounded its own alarm, since nobody had confirmed the event in time."""

    episode: str
    silent_s: float


Data = (
    FallSuspected
    | PoseSuspected
    | Stillness
    | Sos
    | Answer
    | Hazard
    | SensorChanged
    | Readings
    | DeviceHealth
    | Shed
    | Tombstone
    | LocalAlarm
)

DATA: Final[dict[str, type[Any]]] = {
    "vigil.alarm.fall_suspected.v1": FallSuspected,
    "vigil.alarm.pose_suspected.v1": PoseSuspected,
    "vigil.alarm.stillness.v1": Stillness,
    "vigil.alarm.sos.v1": Sos,
    "vigil.alarm.answer.v1": Answer,
    "vigil.alarm.hazard.v1": Hazard,
    "vigil.event.sensor_changed.v1": SensorChanged,
    "vigil.event.shed.v1": Shed,
    "vigil.event.tombstone.v1": Tombstone,
    "vigil.event.local_alarm.v1": LocalAlarm,
    "vigil.telemetry.readings.v1": Readings,
    "vigil.health.device.v1": DeviceHealth,
}
"""Every type of event, and the shape of its data."""

TYPE_OF: Final[dict[type[Any], str]] = {shape: name for name, shape in DATA.items()}


class LaneEnd(Struct, frozen=True):
    """The last sequence number that a boot has given out on a lane."""

    boot: Boot
    lane: Lane
    seq: Annotated[int, Meta(ge=0, le=2**62)]


class NodeState(Struct, frozen=True, kw_only=True):
    """`state`, retained: whether a node is online; offline is its will."""

    online: bool
    session: str


class Birth(Struct, frozen=True, kw_only=True):
    """`birth/{device}`, retained: what a device is, and what its node's lanes have given out."""

    session: str
    model: str
    firmware: str
    capabilities: list[str]
    zones: list[Id] = []
    schema: int = 1
    lanes: list[LaneEnd] = []


class Receipt(Struct, frozen=True, kw_only=True):
    """`receipt`: every sequence number up to and including `stored` is accounted for."""

    boot: str
    lane: Lane
    stored: int


class PlatformState(Struct, frozen=True, kw_only=True):
    """`platform/state`, retained: whether the platform is up, and whether it is storing."""

    up: bool
    storing: bool
    at: Moment
    incarnation: str = ""


class Command(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`cmd/{device}`: an order that is void after `expires`."""

    id: str
    command: Literal["resend", "reload", "identify"]
    expires: Moment
    boot: str | None = None
    lane: Lane | None = None
    from_seq: int | None = None


class Has(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The config of the platform's that a box goes by.

    Attributes:
        version: 0 where it goes by its own file alone.
        digest: Of the document's bytes (`vigil.boxconfig.digest`); empty without one.
        without: Device -> what it is not used for there, also by a document that was refused.
        off: Devices that are switched off altogether.
    """

    version: Annotated[int, Meta(ge=0, le=2**53)]
    digest: Annotated[str, Meta(max_length=64)] = ""
    without: dict[Id, list[Annotated[str, Meta(pattern=r"^[a-z_]{1,32}\Z")]]] = {}
    off: list[Id] = []


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`reply`: what became of a config or a command.

    Attributes:
        to: `config-` and its version, `config` where that could not be read, or a command's id.
        has: What the box goes by now; with the answer to a config.
    """

    to: str
    accepted: bool
    reason: str = ""
    has: Has | None = None


UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises; the last one for brackets nested by the thousand."""
_envelope = msgspec.json.Decoder(Envelope)
_data = {name: msgspec.json.Decoder(shape) for name, shape in DATA.items()}
_lane_of_kind = {Kind.ALARM: Lane.ALARM, Kind.EVENT: Lane.EVENT}
_lane_of_kind |= {Kind.TELEMETRY: Lane.TELEMETRY, Kind.HEALTH: Lane.HEALTH}
encode: Final = msgspec.json.Encoder().encode
"""JSON bytes of any struct of this module."""


def decode(payload: bytes) -> Envelope:
    """Decode an envelope; its data stay undecoded.

    Raises:
        Rejected: `oversize`, `malformed` or `unknown_type`.
    """
    if len(payload) > MAX_PAYLOAD:
        raise Rejected("oversize", f"{len(payload)} bytes; an event has at most {MAX_PAYLOAD}")
    try:
        payload.decode()  # msgspec skips what the envelope does not name; the database would not
        envelope = _envelope.decode(payload)
    except UNREADABLE as error:
        raise Rejected("malformed", f"not an event of CloudEvents 1.0 as we use it: {error}") from None
    if envelope.type not in _data:
        raise Rejected("unknown_type", f"{envelope.type!r} is no type or version known here")
    return envelope


class Claims(Protocol):
    """What an event says of itself, whether its data are decoded or not."""

    @property
    def id(self) -> uuid.UUID:
        """As `Envelope.id`."""

    @property
    def source(self) -> str:
        """As `Envelope.source`."""

    @property
    def subject(self) -> str:
        """As `Envelope.subject`."""

    @property
    def type(self) -> str:
        """As `Envelope.type`."""

    @property
    def boot(self) -> str:
        """As `Envelope.boot`."""

    @property
    def lane(self) -> Lane:
        """As `Envelope.lane`."""

    @property
    def seq(self) -> int:
        """As `Envelope.seq`."""


def _whole(type_: str, shape: type[Any]) -> type[Any]:
    """Return the struct of an event with its data in it: `Envelope` with the data's shape.

    The type is the tag by which msgspec chooses among these; `read` checks the names.
    """
    checked = {"subject": str, "boot": str, "data": shape}
    fields: list[Any] = [
        (field.name, checked.get(field.name, field.type))
        if field.required
        else (field.name, field.type, field.default)
        for field in msgspec.structs.fields(Envelope)
        if field.name != "type"
    ]
    return msgspec.defstruct(
        shape.__name__,
        fields,
        frozen=True,
        kw_only=True,
        tag_field="type",
        tag=type_,
        namespace={"type": type_},
    )


_read = msgspec.json.Decoder(Union[tuple(_whole(name, shape) for name, shape in DATA.items())]).decode  # noqa: UP007 - made here


def read(payload: bytes) -> Claims | None:
    """Decode and check a whole event at once, data included; None where anything is wrong.

    For whoever needs no more than a yes, in half the time.  What it accepts, `decode` and `decode_data`
    accept with the same result; about the rest they have the last word, and say what is wrong.
    """
    if len(payload) > MAX_PAYLOAD:
        return None
    try:
        if not payload.isascii():
            payload.decode()  # as in `decode`
        event: Claims = _read(payload)
    except UNREADABLE:
        return None
    return event if _id_of(event.subject) and _boot_of(event.boot) else None


def decode_data(envelope: Envelope) -> Data:
    """Decode an envelope's data by its type.

    Raises:
        Rejected: `malformed`; the data do not have the shape that the type promises.
    """
    try:
        data: Data = _data[envelope.type].decode(envelope.data)
    except UNREADABLE as error:
        raise Rejected("malformed", f"data of {envelope.type}: {error}") from None
    return data


def check_origin(envelope: Claims, topic: Topic) -> None:
    """Check that an event says the same of itself as the topic it came by.

    Raises:
        Rejected: `wrong_topic`; the sender is not who the event says.
    """
    if envelope.source != topic.address.source or envelope.subject != topic.device:
        claims = f"{envelope.source} {envelope.subject}"
        raise Rejected("wrong_topic", f"claims {claims}, came from {topic.address.source} {topic.device}")
    lane = _lane_of_kind.get(topic.kind)
    if envelope.lane is not lane or not envelope.type.startswith(f"vigil.{lane}."):
        raise Rejected("wrong_topic", f"{envelope.type} on lane {envelope.lane} came as {topic.kind}")
    if not _is_event_id(envelope.id, topic.address.node, envelope.boot, envelope.lane, envelope.seq):
        raise Rejected("malformed", "id is not the one derived from node, boot, lane and seq")


def address_of(source: str) -> Address:
    """Return the node that an envelope's `source` names.

    Raises:
        Rejected: `wrong_topic`; it names none.
    """
    root, _, path = source.partition("//vigil/")
    levels = path.split("/")
    if root or len(levels) != 3:
        raise Rejected("wrong_topic", f"source {source!r} is not //vigil/community/estate/node")
    return Address(*levels)


def envelope_of(
    address: Address,
    device: str,
    data: Data,
    *,
    time: datetime,
    boot: str,
    seq: int,
    synthetic: Synthetic | None = None,
    clock: Clock = "unsynced",
    clockerr: float = 0.0,
) -> Envelope:
    """Make a new event; the lane follows from the type of its data."""
    type_ = TYPE_OF[type(data)]
    lane = Lane(type_.split(".")[1])
    return Envelope(
        specversion="1.0",
        id=event_id(address.node, boot, lane, seq),
        source=address.source,
        subject=device,
        type=type_,
        time=time,
        boot=boot,
        lane=lane,
        seq=seq,
        data=msgspec.Raw(encode(data)),
        clock=clock,
        clockerr=clockerr,
        synthetic=synthetic,
    )
