"""Turn the shape of a request's body into the fields of a form: pure.

Neighbours: `api.register.bodies` and the other bodies say what each field may hold, `api.console.editor`
puts values in, the template `_fields.html` draws.  So a form refuses what the server would refuse, by the
same description, where somebody is typing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from api.fields import IDENTIFIER, PHONE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

LONG: Final = 200
"""Text that may be longer than this is written in several lines."""
PATTERNS: Final = {IDENTIFIER: r"[A-Za-z0-9][A-Za-z0-9._\-]*", PHONE: r"[0-9+\(\) \-]*"}
"""What the server checks -> what a browser can check: its expressions (flag `v`) want more escaped."""
HINTS: Final = {IDENTIFIER: "identifier", PHONE: "phone"}
"""What a pattern allows, in the words of the catalogue (`edit.hint.`)."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form.

    Attributes:
        name: As in the body.
        kind: `text`, `prose`, `tick`, `number`, `moment` (in the community's time), `choice` or `names`
            (another thing by its id, found as one types).
        required: It cannot be left empty.
        empty: What an empty one is sent as: `null`, `keep` (an empty text), or nothing at all.
        value: What stands in it.
        most: Longest text.
        low: Least number.
        high: Largest number.
        whole: The number has no fraction.
        pattern: For the browser's own check; None: whatever.
        hint: What the pattern allows.
        choices: What can be chosen.
        names: Plural of the kind of thing that it names.
        said: What people call the thing that it names now.
    """

    name: str
    kind: str
    required: bool
    empty: str
    value: Any
    most: int | None = None
    low: float | None = None
    high: float | None = None
    whole: bool = False
    pattern: str | None = None
    hint: str | None = None
    choices: tuple[str | int, ...] = ()
    names: str | None = None
    said: str | None = None


def fields_of(
    body: type[BaseModel],
    values: Mapping[str, Any],
    names: Mapping[str, str] | None = None,
    said: Mapping[str, str] | None = None,
) -> list[Field]:
    """Return the fields of a body that hold one value each, in their order.

    Args:
        body: The shape.
        values: What stands in them; the body's own defaults, where nothing does.
        names: Field -> plural of the kind of thing that it names.
        said: Field -> what people call the thing that it names.
    """
    shape = body.model_json_schema()
    required = set(shape.get("required", ()))
    found = []
    for name, given in shape["properties"].items():
        schema, nullable = _plain(given)
        if "$ref" in schema or schema.get("type") in ("array", "object"):
            continue
        value = values.get(name, given.get("default"))
        least = schema.get("minLength", 0)
        found.append(
            Field(
                name=name,
                kind=_kind(schema, name in (names or {})),
                required=schema.get("type") != "boolean"
                and not nullable
                and (name in required or least > 0 or "enum" in schema),
                empty="null" if nullable else "keep",
                value=value,
                most=schema.get("maxLength"),
                low=schema.get("minimum"),
                high=schema.get("maximum"),
                whole=schema.get("type") == "integer",
                pattern=PATTERNS.get(schema.get("pattern", "")),
                hint=HINTS.get(schema.get("pattern", "")),
                choices=tuple(schema.get("enum", ())),
                names=(names or {}).get(name),
                said=(said or {}).get(name),
            )
        )
    return found


def _plain(given: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the schema of a field without its "or nothing", and whether it had one."""
    several = given.get("anyOf")
    if several is None:
        return dict(given), False
    plain = [one for one in several if one.get("type") != "null"]
    return dict(plain[0]), len(plain) < len(several)


def _kind(schema: Mapping[str, Any], is_name: bool) -> str:
    if is_name:
        return "names"
    if "enum" in schema:
        return "choice"
    match schema.get("type"), schema.get("format"):
        case "boolean", _:
            return "tick"
        case "integer" | "number", _:
            return "number"
        case _, "date-time":
            return "moment"
        case _:
            return "prose" if schema.get("maxLength", 0) > LONG else "text"


def changed(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[tuple[str, Any, Any]]:
    """Return (field, before, after) of what a change has changed; of something new or gone, what it held."""
    old, new = before or {}, after or {}
    return [
        (name, old.get(name), new.get(name))
        for name in [*old, *(name for name in new if name not in old)]
        if old.get(name) != new.get(name)
    ]
