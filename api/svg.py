"""Clean an SVG that somebody uploads: shapes, texts and colours stay, whatever could act or fetch is refused.

Neighbours: `api.plans` takes it in.  A page shows it as an image, in which a browser runs nothing and fetches
nothing, so this is the first of two fences.  What a drawing program adds for itself (its own attributes and
elements, comments) is left out; what could do harm is refused by name, so that people know what to mend.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from vigil.errors import Rejected

LARGEST: Final = 300_000
"""Characters; a plan of an estate as a drawing program exports it has some 20,000."""
MOST: Final = 20_000
"""Elements."""
DEEPEST: Final = 50
SVG: Final = "http://www.w3.org/2000/svg"
XLINK: Final = "{http://www.w3.org/1999/xlink}href"
SHAPES: Final = frozenset(
    [
        "svg",
        "g",
        "path",
        "rect",
        "circle",
        "ellipse",
        "line",
        "polyline",
        "polygon",
        "text",
        "tspan",
        "title",
        "desc",
        "defs",
        "use",
        "symbol",
        "marker",
        "linearGradient",
        "radialGradient",
        "stop",
        "clipPath",
        "mask",
        "pattern",
    ]
)
HARMFUL: Final = frozenset(
    [
        "script",
        "foreignObject",
        "iframe",
        "image",
        "audio",
        "video",
        "a",
        "style",
        "animate",
        "animateMotion",
        "animateTransform",
        "set",
        "handler",
        "listener",
        "feImage",
    ]
)
_INSIDE: Final = re.compile(r"^#[A-Za-z_][\w.-]*$")
_URL: Final = re.compile(r"url\(\s*(['\"]?)(.*?)\1\s*\)", re.IGNORECASE)
_ACTS: Final = re.compile(r"javascript:|expression\s*\(|@import|\\|&#", re.IGNORECASE)
_NUMBER: Final = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)")


@dataclass(frozen=True, slots=True)
class Drawing:
    """A cleaned SVG, and its height as a multiple of its width."""

    svg: str
    high: float


class Unfit(Rejected):
    """The drawing is not taken; says why, and the remedy."""

    def __init__(self, detail: str) -> None:
        super().__init__("invalid", detail)


def clean(text: str) -> Drawing:
    """Return a drawing without anything that acts or fetches.

    Raises:
        Unfit: Too large, no SVG, without a size, or with something that could do harm.
    """
    if len(text) > LARGEST:
        raise Unfit(f"has {len(text)} characters, {LARGEST} are taken; leave out details, or pictures in it")
    if "<!DOCTYPE" in text.upper() or "<!ENTITY" in text.upper():
        raise Unfit("begins with a DOCTYPE; export it as plain SVG, without one")
    try:
        root = ET.fromstring(text)  # noqa: S314 - without a DOCTYPE there are no entities to expand or fetch
    except (ET.ParseError, ValueError) as error:
        raise Unfit(f"is no SVG that can be read: {error}") from None
    if root.tag != f"{{{SVG}}}svg":
        raise Unfit("is no SVG; export the plan from the drawing program as SVG")
    if sum(1 for _ in root.iter()) > MOST:
        raise Unfit(f"has more than {MOST} shapes; leave out details")
    high = _high(root)
    _clean(root, 0)
    ET.register_namespace("", SVG)
    return Drawing(ET.tostring(root, encoding="unicode"), high)


def _high(root: ET.Element) -> float:
    """Return height by width, by the view box or else by the size; the view box is added where it lacks."""
    box = [float(n) for n in re.findall(r"-?[0-9]+(?:\.[0-9]+)?", root.get("viewBox", ""))]
    if len(box) != 4:
        sides = [_NUMBER.match(root.get(name, "")) for name in ("width", "height")]
        box = [0, 0, *(float(side.group(1)) if side else 0 for side in sides)]
        root.set("viewBox", " ".join(f"{n:g}" for n in box))
    if not (box[2] > 0 and box[3] > 0 and math.isfinite(box[3] / box[2])):
        raise Unfit("has no size: it needs a viewBox, or a width and a height")
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    return box[3] / box[2]


def _clean(element: ET.Element, depth: int) -> None:
    if depth > DEEPEST:
        raise Unfit(f"is nested deeper than {DEEPEST} groups; take groups apart")
    for name, value in list(element.attrib.items()):
        if not _stays(element, name, value):
            del element.attrib[name]
    for child in list(element):
        local = _local(child.tag)
        if local in HARMFUL:
            raise Unfit(
                f"holds <{local}>, which a plan may not; export it as plain SVG, with shapes and texts only"
            )
        if local is None or local not in SHAPES:
            _keep_tail(element, child)
        else:
            _clean(child, depth + 1)


def _local(tag: object) -> str | None:
    """Return the name of an SVG element; what is of another kind by its bare name, if it could do harm."""
    if not isinstance(tag, str):
        return None
    space, _, local = tag.rpartition("}")
    return local if space == f"{{{SVG}" or local in HARMFUL else None


def _keep_tail(parent: ET.Element, child: ET.Element) -> None:
    """Leave an element out, but not the text after it."""
    before = list(parent).index(child) - 1
    if child.tail and before >= 0:
        parent[before].tail = (parent[before].tail or "") + child.tail
    elif child.tail:
        parent.text = (parent.text or "") + child.tail
    parent.remove(child)


def _stays(element: ET.Element, name: str, value: str) -> bool:
    """Whether an attribute stays; raises `Unfit` where it acts or fetches."""
    tag = str(element.tag).rpartition("}")[2]
    if name in ("href", XLINK):
        if not _INSIDE.match(value.strip()):
            raise Unfit(f"refers to {value[:60]!r} from <{tag}>; a plan holds everything itself")
        return True
    if name.startswith("{"):
        return False
    if name.lower().startswith("on"):
        raise Unfit(f"holds {name!r} at <{tag}>, which acts; export it as plain SVG")
    outside = [target for _, target in _URL.findall(value) if not _INSIDE.match(target.strip())]
    if outside or _ACTS.search(value) or "url(" in _URL.sub("", value).lower():
        raise Unfit(
            f"refers to something outside of it in {name!r} at <{tag}>; a plan holds everything itself"
        )
    return True
