"""The table of processes."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from deploy.embedded.plan import Node, Place, Watchdog, children
from vigil.topics import Address

SERVERS = {
    "VIGIL_MQTT_HOST": "127.0.0.1",
    "VIGIL_MQTT_PORT": "1883",
    "VIGIL_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
    "VIGIL_DATABASE_DSN": "postgresql://vigil:p%40ss@127.0.0.1:5432/vigil",
}
PLACE = Place(Path("var"), "127.0.0.1", 8000, 8090, Path("var/roster.key"), SERVERS)
CANARIES = [Address("c", "e", "canary-1"), Address("c", "e", "canary-2")]
WATCHDOG = Watchdog("token", "roster token", "public key", "passphrase", CANARIES)
NODES = [Node("n1", Path("n1.yaml"), {}), Node("n2", Path("n2.yaml"), {"VIGIL_DATA": "data"})]


def numbers() -> count[int]:
    return count(9000)


def test_who_receives_is_started_before_who_sends() -> None:
    names = [child.name for child in children(PLACE, NODES, WATCHDOG, numbers().__next__)]
    assert names == ["processors", "ingest", "api", "fallback", "edge-n1", "edge-n2"]


def test_each_process_has_a_port_of_its_own_for_ops_where_it_says_that_it_is_ready() -> None:
    made = children(PLACE, NODES, WATCHDOG, numbers().__next__)
    ports = [child.env["VIGIL_OPS_PORT"] for child in made]
    assert len(set(ports)) == len(made)
    assert [child.ready_url for child in made] == [f"http://127.0.0.1:{port}/readyz" for port in ports]


def test_every_process_knows_the_servers() -> None:
    assert all(
        child.env["VIGIL_MQTT_PORT"] == "1883"
        for child in children(PLACE, NODES, WATCHDOG, numbers().__next__)
    )


def test_each_edge_has_its_own_configuration_spool_and_settings() -> None:
    *_, first, second = children(PLACE, NODES, WATCHDOG, numbers().__next__)
    assert first.env["VIGIL_EDGE_CONFIG"] == "n1.yaml"
    assert first.env["VIGIL_EDGE_SPOOL"] != second.env["VIGIL_EDGE_SPOOL"]
    assert second.env["VIGIL_DATA"] == "data"


def test_the_watchdog_looks_at_the_platforms_processes() -> None:
    made = {child.name: child for child in children(PLACE, NODES, WATCHDOG, numbers().__next__)}
    looked_at = made["fallback"].env["VIGIL_FALLBACK_PROBES"].split(",")
    assert looked_at[:3] == [f"{name}={made[name].ready_url}" for name in ("processors", "ingest", "api")]


def test_the_watchdog_tries_the_servers_ports_and_is_told_no_password() -> None:
    made = {child.name: child for child in children(PLACE, NODES, WATCHDOG, numbers().__next__)}
    assert made["fallback"].env["VIGIL_FALLBACK_PROBES"].split(",")[3:] == [
        "mqtt=tcp://127.0.0.1:1883",
        "kafka=tcp://127.0.0.1:9092",
        "postgres=tcp://127.0.0.1:5432",
    ]


def test_only_the_platform_knows_the_database() -> None:
    made = children(PLACE, NODES, WATCHDOG, numbers().__next__)
    knows = {child.name: child.env["VIGIL_SECRETS"] for child in made if "VIGIL_SECRETS" in child.env}
    assert knows == {name: f"var/logins/{name}" for name in ("processors", "ingest", "api")}


def test_no_process_has_the_owners_login() -> None:
    made = children(PLACE, NODES, WATCHDOG, numbers().__next__)
    assert not [child.name for child in made if "VIGIL_DATABASE_DSN" in child.env]


def test_the_watchdog_comes_in_with_its_token_and_its_canaries() -> None:
    made = {child.name: child for child in children(PLACE, NODES, WATCHDOG, numbers().__next__)}
    assert made["fallback"].env["VIGIL_FALLBACK_TOKEN"] == "token"
    assert made["fallback"].env["VIGIL_FALLBACK_CANARIES"] == "c/e/canary-1,c/e/canary-2"
    assert all("VIGIL_FALLBACK_TOKEN" not in child.env for name, child in made.items() if name != "fallback")


def test_the_roster_is_signed_by_the_api_and_trusted_by_the_watchdog() -> None:
    made = {child.name: child for child in children(PLACE, NODES, WATCHDOG, numbers().__next__)}
    assert made["api"].env["VIGIL_API_ROSTER_KEY"] == "var/roster.key"
    assert made["fallback"].env["VIGIL_FALLBACK_ROSTER_KEY"] == "public key"
    assert made["fallback"].env["VIGIL_FALLBACK_ROSTER_TOKEN"] == "roster token"
    assert "VIGIL_API_ROSTER_KEY" not in made["fallback"].env


def test_the_packs_go_to_two_places() -> None:
    made = {child.name: child for child in children(PLACE, NODES, WATCHDOG, numbers().__next__)}
    assert made["fallback"].env["VIGIL_FALLBACK_PACKS"] == "var/packs/1,var/packs/2"
