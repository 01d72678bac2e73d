"""Payloads as Zigbee2MQTT documents them on its devices' pages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edge.config import Device
from edge.sensors import Known, observed
from edge.sources.brokered import ZigbeeTranslator
from vigil.errors import Rejected
from vigil.events import Data, DeviceHealth, Hazard, Readings, SensorChanged, Sos


def device(kind: str, address: str | None = None) -> Device:
    return msgspec.convert({"id": "d1", "kind": kind, "zone": "z1", "address": address}, Device)


def said(kind: str, *messages: dict[str, Any]) -> list[Data]:
    known, found = Known(), []
    for facts in messages:
        known, events = observed(device(kind), facts, known)
        found += events
    return found


def changed(sensor: str, *states: bool) -> list[SensorChanged]:
    return [SensorChanged(sensor=sensor, state=state, zone="z1") for state in states]  # type: ignore[arg-type]  # a sensor's kind


def test_a_door_is_open_when_the_contact_is_not_made() -> None:
    closed, opened = {"contact": True, "linkquality": 128}, {"contact": False, "linkquality": 152}
    assert said("door", closed, opened, closed) == changed("door", True, False)


def test_a_hub_that_repeats_itself_says_nothing_new() -> None:
    assert said("motion", *[{"occupancy": True}] * 3) == changed("motion", True)


@pytest.mark.parametrize("kind", ["bed", "chair"])
def test_a_mat_with_a_contact_is_occupied_when_the_contact_is_made(kind: str) -> None:
    assert said(kind, {"contact": True}, {"contact": False}) == changed(kind, True, False)


@pytest.mark.parametrize(
    ("facts", "hazard"),
    [
        ({"smoke": True, "battery": 100}, "smoke"),
        ({"gas": True}, "gas"),
        ({"carbon_monoxide": True}, "gas"),
        ({"water_leak": True, "voltage": 3035}, "water"),
    ],
)
def test_smoke_gas_and_water_are_hazards(facts: dict[str, Any], hazard: Any) -> None:
    (event,) = [event for event in said("smoke", facts) if isinstance(event, Hazard)]
    assert event == Hazard(hazard=hazard, zone="z1")


def test_a_hazard_that_ends_is_told_and_one_that_never_began_is_not() -> None:
    calm, alarm = {"smoke": False}, {"smoke": True}
    assert said("smoke", calm, alarm, alarm, calm, calm) == [
        Hazard(hazard="smoke", zone="z1"),
        Hazard(hazard="smoke", active=False, zone="z1"),
    ]


@pytest.mark.parametrize("facts", [{"action": "single"}, {"action": "emergency"}, {"sos": True}])
def test_a_button_calls_for_help_at_every_press(facts: dict[str, Any]) -> None:
    assert said("sos_button", facts, facts) == [Sos(by="button", zone="z1")] * 2


def test_the_end_of_a_press_is_no_call() -> None:
    assert said("sos_button", {"action": ""}, {"action": "release"}, {"action": None}) == []


def test_an_appliance_is_in_use_when_it_draws_power() -> None:
    assert said("appliance", {"power": 1900}, {"power": 0.6}) == changed("appliance", True, False)


def test_numbers_become_readings() -> None:
    assert said("motion", {"temperature": 27.34, "humidity": 44.72}) == [
        Readings(quantity="temperature_c", interval_s=1.0, values=[27.34], zone="z1"),
        Readings(quantity="humidity_pct", interval_s=1.0, values=[44.72], zone="z1"),
    ]


def test_a_battery_that_is_given_as_text_counts_as_a_number() -> None:
    assert said("door", {"battery": "100.00"}) == [DeviceHealth(battery_pct=100.0, zone="z1")]


def test_an_empty_battery_a_lifted_lid_and_a_lost_radio_are_troubles() -> None:
    found = said("door", {"battery": 8}, {"tamper": True, "battery": 8}, {"availability": "offline"})
    assert [event.trouble for event in found if isinstance(event, DeviceHealth)] == [
        ["battery low"],
        ["battery low", "tampered"],
        ["battery low", "unreachable"],
    ]


@pytest.mark.parametrize(
    "facts", [{"contact": "perhaps"}, {"occupancy": None}, {"battery": "full"}, {"update": {}}]
)
def test_what_is_not_understood_is_no_event(facts: dict[str, Any]) -> None:
    assert [event for event in said("motion", facts) if not isinstance(event, DeviceHealth)] == []


class TestTopics:
    translator: ZigbeeTranslator

    @pytest.fixture(autouse=True)
    def _home(self) -> None:
        self.translator = ZigbeeTranslator("zigbee2mqtt", [device("door", "flat 12/front door")])

    def test_a_friendly_name_may_have_folders(self) -> None:
        found = self.translator.take("zigbee2mqtt/flat 12/front door", b'{"contact": false}')
        assert [data for _, data in found] == changed("door", True)

    @pytest.mark.parametrize("payload", [b"offline", b'{"state":"offline"}'], ids=["before 2.0", "since 2.0"])
    @pytest.mark.parametrize(
        "topic", ["zigbee2mqtt/flat 12/front door/availability", "zigbee2mqtt/bridge/state"]
    )
    def test_what_is_offline_is_reported(self, topic: str, payload: bytes) -> None:
        assert [data for _, data in self.translator.take(topic, payload)] == [
            DeviceHealth(trouble=["unreachable"], zone="z1")
        ]

    def test_other_devices_of_the_house_are_none_of_our_business(self) -> None:
        assert self.translator.take("zigbee2mqtt/flat 13/door", b'{"contact": false}') == []
        assert "zigbee2mqtt/#" not in self.translator.subscriptions()

    def test_broken_json_is_refused(self) -> None:
        with pytest.raises(Rejected, match="front door"):
            self.translator.take("zigbee2mqtt/flat 12/front door", b"{")
