"""What the platform may decide about a box: the document on its `config` topic, and how it is checked.

Neighbours: `vigil.store.configs` makes and keeps documents, `ingest.configs` publishes them, `edge.remote_config`
takes them.  Both sides check with what stands here, so that what the platform has let through the box
understands.  Pure.

Rules
-----
1. Addresses, passwords, paths, commands and the local alarm stand in the box's own file and nowhere
   else: the document is retained at a broker, and whoever holds a broker must not be able to run a
   command in a home, or look at its camera.
2. Privacy masks are added to the file's, never taken away.
3. `without` is made of the register of consents: what a device may not be used for.  It needs no
   setting to be right: a box takes it from a document that it otherwise refuses.
4. `held` is what a box knew and the platform no longer does (it came back from a backup); a person
   lifts it.
5. A document is known by its version and by the digest of its bytes, which are published as they are
   kept.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from vigil.errors import Rejected
from vigil.events import UNREADABLE, Id
from vigil.topics import Address

if TYPE_CHECKING:
    from collections.abc import Mapping

_T = TypeVar("_T")
Fraction = Annotated[float, Meta(ge=0, le=1)]
Area = Annotated[tuple[tuple[Fraction, Fraction], ...], Meta(min_length=3, max_length=64)]
"""Corners in fractions of the frame: two of them, or pixels, would leave what is private in sight."""
Fps = Annotated[float, Meta(ge=1, le=30)]
Placement = Literal["waist", "chest", "wrist"]
Version = Annotated[int, Meta(ge=1, le=2**53)]
"""Up to what a program that reads JSON's numbers as floats can tell apart."""
Purpose = Annotated[str, Meta(pattern=r"^[a-z_]{1,32}\Z")]
Without = dict[Id, list[Purpose]]
"""Device -> what it may not be used for, sorted."""
LARGEST: Final = 64 * 1024
"""Bytes of a document; a box with 100 masked cameras has 20 kB."""
WORN: Final = frozenset({"pendant", "wrist_band", "chest_band"})


class _Spec(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A misspelt field is an error, never a default."""


class ViewSettings(_Spec, frozen=True, kw_only=True):
    """How a camera is to look at its place.

    Attributes:
        fps: Frames a second that are analysed, instead of the file's.
        masks: Private areas, beside the file's.
        zones: Areas by the zone's id, instead of the file's.
    """

    fps: Fps | None = None
    masks: tuple[Area, ...] = ()
    zones: dict[Id, Area] | None = None


class DeviceSettings(_Spec, frozen=True, kw_only=True):
    """What is set of a device.

    Attributes:
        off: It is not to observe, whatever anybody has agreed to.
        placement: Where a wearable is worn, instead of the file's.
        view: Of a camera.
    """

    off: bool = False
    placement: Placement | None = None
    view: ViewSettings | None = None


class Settings(_Spec, frozen=True, kw_only=True):
    """What people set of a box.

    Attributes:
        devices: By id; what is not set stays as the box's file has it.
        spool_max_mb: Bound of the spool.
    """

    devices: dict[Id, DeviceSettings] = {}
    spool_max_mb: Annotated[int, Meta(ge=16, le=1_048_576)] | None = None


class Document(_Spec, frozen=True, kw_only=True):
    """What is published: all that the platform has decided about a box."""

    community: Id
    estate: Id
    node: Id
    version: Version
    settings: Settings = Settings()
    without: Without = {}
    held: Without = {}

    @property
    def address(self) -> Address:
        """Whom it is about."""
        return Address(self.community, self.estate, self.node)


class Restrictions(Struct, frozen=True, kw_only=True):
    """The part of a document that a box understands whatever else stands in it."""

    community: Id
    estate: Id
    node: Id
    version: Version
    without: Without = {}
    held: Without = {}

    @property
    def address(self) -> Address:
        """Whom it is about."""
        return Address(self.community, self.estate, self.node)


_encoder: Final = msgspec.json.Encoder(order="deterministic")
_document: Final = msgspec.json.Decoder(Document)
_restrictions: Final = msgspec.json.Decoder(Restrictions)


def encode(document: Document) -> bytes:
    """Return the bytes to be published; the same document gives the same bytes."""
    return _encoder.encode(document)


def encode_settings(wanted: Settings) -> bytes:
    """Return settings as JSON, without what is not set."""
    return _encoder.encode(wanted)


def digest(document: bytes) -> str:
    """Return what a document is known by, beside its version."""
    return hashlib.sha256(document).hexdigest()[:16]


def decode(document: bytes) -> Document:
    """Read a document.

    Raises:
        Rejected: `bad_config`; the detail names the field.
    """
    return _read(document, _document)


def restrictions(document: bytes) -> Restrictions:
    """Read the part of a document that stands above all others.

    Raises:
        Rejected: `bad_config`: not even that.
    """
    return _read(document, _restrictions)


def settings(given: object) -> Settings:
    """Make settings of what a decoder of JSON or YAML gave.

    Raises:
        Rejected: `bad_config`; the detail names the field.
    """
    try:
        return msgspec.convert(given, Settings)
    except msgspec.ValidationError as error:
        raise Rejected("bad_config", str(error)) from None


def check(wanted: Settings, kinds: Mapping[str, str]) -> None:
    """Check settings against the devices of a box.

    Args:
        wanted: What is to be set.
        kinds: Kind of each device, by its id.

    Raises:
        Rejected: `bad_config`; the detail names the device and the field.
    """
    for id_, device in wanted.devices.items():
        at = f"`$.settings.devices.{id_}`"
        if id_ not in kinds:
            raise Rejected("bad_config", f"{id_!r} is no device of this box - at {at}")
        if device.view is not None and kinds[id_] != "camera":
            raise Rejected("bad_config", f"{id_!r} is a {kinds[id_]} and has no view - at {at}")
        if device.placement is not None and kinds[id_] not in WORN:
            raise Rejected("bad_config", f"{id_!r} is a {kinds[id_]} and is not worn - at {at}")


def joined(*several: Mapping[str, list[str]]) -> Without:
    """Return everything that any of several forbids."""
    devices = {id_ for one in several for id_ in one}
    return {id_: sorted({p for one in several for p in one.get(id_, ())}) for id_ in sorted(devices)}


def lacking(known: Mapping[str, list[str]], than: Mapping[str, list[str]]) -> Without:
    """Return what `known` forbids and `than` does not."""
    left = {id_: sorted(set(known[id_]) - set(than.get(id_, ()))) for id_ in sorted(known)}
    return {id_: purposes for id_, purposes in left.items() if purposes}


def _read(document: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    if len(document) > LARGEST:
        raise Rejected("bad_config", f"{len(document)} bytes; a config has at most {LARGEST}")
    try:
        return decoder.decode(document)
    except UNREADABLE as error:
        raise Rejected("bad_config", str(error)) from None
