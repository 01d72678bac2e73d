"""The OpenAPI document, completed: an example for every field, and errors as they are sent.

Neighbours: `api.app` serves it, `api.reference` makes a page of it.  A field that a shape gives no
example for gets that of its name, for a name means the same everywhere in this API; what FastAPI
cannot say of errors (their media type, RFC 9457) is put right here.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI

from api.problems import MEDIA_TYPE, TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TEXTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("account", "holder"), "li.na"),
    **dict.fromkeys(
        (
            "about",
            "actor",
            "asked_by",
            "by",
            "closed_by",
            "done_by",
            "given_by",
            "made_by",
            "owner",
            "reported_by",
            "revoked_by",
            "taken_by",
            "withdrawn_by",
        ),
        "person:li.na",
    ),
    **dict.fromkeys(
        ("auth", "ca", "certificate", "csrf", "p256dh", "proof", "request", "seal_to"), "MIIBszCC"
    ),
    **dict.fromkeys(("hash", "signature", "statement", "secret"), "q83vASNFZ4k"),
    **dict.fromkeys(("name", "resident_name", "guardian"), "李娜"),
    **dict.fromkeys(("note", "words", "reason", "why", "withdrawn_why"), "Fine; she was at her daughter's"),
    **dict.fromkeys(("resident", "thing_id"), "r-0412"),
    **dict.fromkeys(("zone", "home"), "z-3-2-401"),
    "act": "alert.acknowledge",
    "action": "acknowledge",
    "alert": "0b9b2f6e-6b0f-4d6e-9f43-1a6c1f6f4c11",
    "building": "3号楼",
    "code": "492039",
    "community": "sunshine",
    "cursor": "WzQyXQ",
    "detector": "falls",
    "device": "pendant-17",
    "ended": "taken",
    "endpoint": "https://push.example.org/7Jx1",
    "error": "a contact's route: refused",
    "estate": "tiantong-1",
    "event_type": "vigil.alarm.fall_suspected.v1",
    "how_found": "family",
    "id": "tiantong-1",
    "if-match": '"3"',
    "key": "BNcRdreALRFXTkOOUHK1",
    "kind": "fall",
    "link": "bGktbmE",
    "mobility": "walks",
    "model": "falls",
    "model_version": "9c4b4b27f7f3",
    "next": "WzQyXQ",
    "node": "riverside-3",
    "outcome": "true",
    "password": "correct horse battery",
    "phone": "13900000001",
    "process": "escalator-1-auditor",
    "purpose": "care",
    "role": "duty_officer",
    "scenario": "The database is away for ten minutes",
    "serial": "6f1c0c1e7d9c",
    "state": "given",
    "synthetic": "drill",
    "text_version": "2026-03",
    "thing": "tiantong-1",
    "undelivered": "no such number",
    "url": "https://hooks.example.org/vigil",
    "version": "9c4b4b27f7f3",
    "what": "alert",
}
_MOMENT: Final = "2026-03-01T12:00:00Z"
_NUMBERS: Final[Mapping[str, float]] = {"position": 0, "age": 83, "risk": 3, "floor": 4, "expirationTime": 0}
_UUID: Final = "0b9b2f6e-6b0f-4d6e-9f43-1a6c1f6f4c11"
_ERRORS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("bad_request", "There was an error parsing the body"),
    401: ("no_session", "Sign in, or send a bearer token that is good."),
    403: ("role", "The role grid_worker may not see effect."),
    404: ("not_found", "There is no alert 0b9b2f6e-6b0f-4d6e-9f43-1a6c1f6f4c11."),
    409: ("conflict", "Li Na has it."),
    412: ("changed", "It was changed meanwhile and is at version 4 now; look at it again."),
    422: (
        "invalid",
        "/body/home: zone z-3-2-401 is in estate tiantong-1, not in tiantong-2; name one of tiantong-2",
    ),
    428: ("version_required", "Send the ETag of what you have seen as If-Match."),
    429: ("too_many", "Too many requests; the next one is welcome in 0.4 s. Alerts can still be taken."),
    503: ("unavailable", "PostgreSQL is not available: connection refused"),
}
"""Status -> the kind of problem that is its most frequent one, and what it says."""


class Application(FastAPI):
    """FastAPI with a document that is complete."""

    def openapi(self) -> dict[str, Any]:
        """Return the document, made once."""
        fresh = self.openapi_schema is None
        document = super().openapi()
        return complete(document) if fresh else document


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Fill in what is missing, in place."""
    for shape in document["components"]["schemas"].values():
        for name, field in shape.get("properties", {}).items():
            _exemplify(name, field)
    for path, operation in _operations(document):
        for parameter in operation.get("parameters", []):
            _exemplify_parameter(parameter)
        for status, answer in operation["responses"].items():
            if status.isdigit() and int(status) in _ERRORS:
                _as_problem(path, int(status), answer)
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for operation in item.values():
            yield path, operation


def _exemplify(name: str, field: dict[str, Any]) -> None:
    """Give a field an example, where it has none and is no shape, choice or list of its own."""
    options = field.get("anyOf", [field])
    if {"examples", "example", "const", "enum", "$ref"} & field.keys():
        return
    if not any({"examples", "const", "enum", "$ref"} & option.keys() for option in options):
        found = [one for one in (_example(name, option) for option in options) if one is not None]
        field |= {"examples": found[:1]} if found else {}


def _example(name: str, field: dict[str, Any]) -> Any:
    """Return an example of a field by its name and type; None where there is none (a test names those)."""
    match field.get("type"), field.get("format"):
        case "string", "date-time":
            return _MOMENT
        case "string", "uuid":
            return _UUID
        case "string", _:
            return _TEXTS.get(name)
        case "integer", _:
            return int(_NUMBERS.get(name, max(3, field.get("minimum", 0))))
        case "number", _:
            return float(_NUMBERS.get(name, max(0.75, field.get("minimum", 0))))
        case _:
            return None


def _exemplify_parameter(parameter: dict[str, Any]) -> None:
    name, field = parameter["name"], parameter["schema"]
    if not {"example", "examples"} & parameter.keys():
        _exemplify(name, field)


def _as_problem(path: str, status: int, answer: dict[str, Any]) -> None:
    """Say of an error what is sent: problem details under their own media type, with an example."""
    kind, detail = _ERRORS[status]
    shape = {"$ref": "#/components/schemas/Problem"}
    title = HTTPStatus(status).phrase
    example = {"type": TYPES + kind, "title": title, "status": status, "detail": detail, "instance": path}
    answer["content"] = {MEDIA_TYPE: {"schema": shape, "example": example}}
