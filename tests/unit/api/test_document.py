"""The OpenAPI document is complete: every field has an example that fits, every error its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import jsonschema_rs
import pytest

from api.app import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.services import Services

WHOLE = ("$ref", "const", "enum")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(cast("Services", None)).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def fields(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for shape, schema in document["components"]["schemas"].items():
        for name, field in schema.get("properties", {}).items():
            yield f"{shape}.{name}", field
    for operation, its in operations(document):
        for parameter in its.get("parameters", []):
            more = {"examples": [parameter["example"]]} if "example" in parameter else {}
            yield f"{operation} {parameter['name']}", parameter["schema"] | more


def is_single(field: dict[str, Any]) -> bool:
    return not any(set(WHOLE) & one.keys() or one.get("type") in ("array", "object", "boolean", None)
                   for one in field.get("anyOf", [field]) if one.get("type") != "null")  # fmt: skip


def test_every_single_value_has_an_example_that_fits(document: dict[str, Any]) -> None:
    lacking, wrong = [], []
    for name, field in fields(document):
        inner = [x for one in field.get("anyOf", []) for x in one.get("examples", [])]
        shown = field.get("examples", []) + inner
        lacking += [name] if is_single(field) and not shown else []
        schema = field | {"components": document["components"]}
        wrong += [
            (name, x)
            for x in field.get("examples", [])
            if not jsonschema_rs.validator_for(schema).is_valid(x)
        ]
    assert not lacking
    assert not wrong


def test_every_operation_says_what_it_is_and_how_it_can_fail(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["description"], name
        errors = {s: a for s, a in operation["responses"].items() if s.startswith(("4", "5"))}
        assert {"401", "403", "422", "429", "503"} <= errors.keys(), name
        for status, answer in errors.items():
            assert list(answer["content"]) == ["application/problem+json"], (name, status)
            shown = answer["content"]["application/problem+json"]
            assert shown["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert shown["example"]["status"] == int(status)


def test_lists_that_grow_have_pages(document: dict[str, Any]) -> None:
    """What one thing has of its own (an alert's notices, a person's contacts) comes with it, whole; so do a month's drills."""
    whole = {
        "GET /api/v1/policies/built-in",
        "GET /api/v1/rota",
        "GET /api/v1/me",
        "GET /api/v1/session/all",
        "GET /api/v1/tokens",
        "GET /api/v1/drills",
        "GET /api/v1/access-cases",  # a list of work, the most urgent first
    }
    for name, operation in operations(document):
        content = operation["responses"].get("200", {}).get("content", {}).get("application/json")
        if not name.startswith("GET") or "{" in name or name in whole or content is None:
            continue
        shape = content["schema"]
        shape = (
            document["components"]["schemas"][shape["$ref"].rpartition("/")[2]] if "$ref" in shape else shape
        )
        items = shape.get("type") == "array" or "items" in shape.get("properties", {})
        assert not items or "cursor" in {p["name"] for p in operation["parameters"]}, name


def test_changes_name_the_version_that_was_seen(document: dict[str, Any]) -> None:
    """But for what has no version: one's own session and tokens, words that are only added, a drill by its id,
    a request for erasure."""
    free = ("calendars", "claims", "consents", "drills", "erasure", "session", "tokens")
    for name, operation in operations(document):
        if name.startswith(("PUT", "DELETE")) and not any(f"/{word}" in name for word in free):
            assert "if-match" in {p["name"].lower() for p in operation["parameters"]}, name


SECRETS = ("claims", "receipts", "evidence", "session", "tokens", "push")
"""Answers with a secret are not kept to be given again, and boxes and gateways repeat by themselves."""


def test_writes_take_an_idempotency_key(document: dict[str, Any]) -> None:
    natural = ("/delivered", "/code", "/verify", "/drills")
    for name, operation in operations(document):
        if (
            name.startswith("GET")
            or any(f"/v1/{word}" in name for word in SECRETS)
            or any(w in name for w in natural)
        ):
            continue
        assert "Idempotency-Key" in {p["name"] for p in operation["parameters"]}, name
