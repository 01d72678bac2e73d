"""The AsyncAPI document says what the code takes, all of it and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.making import event, fall
from vigil import asyncapi, boxconfig, events, topics
from vigil.events import Readings, Sos
from vigil.topics import Kind

PAGE = Path(__file__).parents[3] / "docs/reference/asyncapi.json"
DOCUMENT = asyncapi.document()


def resolved(ref: str) -> Any:
    """Return what a reference points to."""
    found: Any = DOCUMENT
    for level in ref.removeprefix("#/").split("/"):
        found = found[level]
    return found


def refs(part: Any) -> list[str]:
    """Return every reference in a part of the document."""
    if isinstance(part, dict):
        return [part["$ref"]] if "$ref" in part else [ref for one in part.values() for ref in refs(one)]
    return [ref for one in part for ref in refs(one)] if isinstance(part, list) else []


def takes(message: str) -> jsonschema_rs.Validator:
    """Return the validator of a message's payload."""
    payload = DOCUMENT["components"]["messages"][message]["payload"]
    return jsonschema_rs.validator_for({**payload, "components": DOCUMENT["components"]})


def test_the_page_is_what_the_code_says() -> None:
    said = json.loads(json.dumps(DOCUMENT))
    assert json.loads(PAGE.read_text()) == said, "python -m vigil.asyncapi > docs/reference/asyncapi.json"


def test_every_reference_leads_somewhere() -> None:
    for ref in refs(DOCUMENT):
        assert resolved(ref)


def test_every_kind_every_kafka_topic_and_every_type_of_event_is_there() -> None:
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    levels = topics.Address("{community}", "{estate}", "{node}")
    for kind in Kind:
        assert levels.topic(kind, "{device}" if topics.has_device(kind) else None) in addresses
    assert set(topics.KAFKA_TOPICS) <= addresses
    assert set(events.DATA) <= {message["title"] for message in DOCUMENT["components"]["messages"].values()}


def test_an_address_of_the_document_is_one_that_the_parser_takes() -> None:
    for channel in DOCUMENT["channels"].values():
        address = channel["address"].replace("{", "").replace("}", "")
        if channel["servers"] == [{"$ref": "#/servers/mqtt"}] and "platform" not in address:
            assert topics.parse(address)


@pytest.mark.parametrize(
    "data", [fall(), Sos(by="cord"), Readings(quantity="t_c", interval_s=1.0, values=[20.5])]
)
def test_what_the_code_sends_the_document_takes(data: Any) -> None:
    sent = json.loads(events.encode(event(data)))
    assert takes(type(data).__name__).is_valid(sent)
    assert takes(f"kafka.{type(data).__name__}").is_valid(sent)


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "vigil.alarm.hazard.v1"},
        {"data": {}},
        {"lane": "fast"},
        {"boot": "one"},
        {"boot": "1-0000abcd\n"},
    ],
)
def test_what_the_code_refuses_the_document_refuses(changed: dict[str, Any]) -> None:
    sent = {**json.loads(events.encode(event(Sos(by="cord")))), **changed}
    assert not takes("Sos").is_valid(sent)


def test_a_config_as_it_is_published_fits_the_document() -> None:
    config = boxconfig.Document(
        community="c1", estate="e1", node="n1", version=3, without={"cam": ["fall_at_home"]}
    )
    assert takes("Document").is_valid(json.loads(boxconfig.encode(config)))
    assert not takes("Document").is_valid({**json.loads(boxconfig.encode(config)), "version": 0})
