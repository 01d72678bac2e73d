from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vigil import settings
from vigil.errors import Misconfigured
from vigil.kafka import access
from vigil.settings import (
    ApiSettings,
    EdgeSettings,
    FallbackSettings,
    IngestSettings,
    KafkaSettings,
    ProcessorSettings,
    StoreSettings,
    load,
)

if TYPE_CHECKING:
    from pathlib import Path

EVERY = [ApiSettings, EdgeSettings, FallbackSettings, IngestSettings, ProcessorSettings, StoreSettings]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("VIGIL_")]:
        monkeypatch.delenv(name)


def refused(cls: type) -> str:
    with pytest.raises(Misconfigured) as error:
        load(cls)
    return str(error.value)


@pytest.mark.parametrize(
    ("cls", "variable", "value"),
    [
        (IngestSettings, "VIGIL_MQTT_PORT", "0"),
        (IngestSettings, "VIGIL_MQTT_PORT", "many"),
        (IngestSettings, "VIGIL_MQTT_PROTOCOL", "3"),
        (IngestSettings, "VIGIL_MQTT_PROTOCOL", "five"),
        (IngestSettings, "VIGIL_INGEST_WINDOW", "0"),
        (IngestSettings, "VIGIL_INGEST_MEMBER", "a/b"),
        (ProcessorSettings, "VIGIL_KAFKA_IDEMPOTENT", "perhaps"),
        (ProcessorSettings, "VIGIL_BATCH_EVENTS", "-1"),
        (ProcessorSettings, "VIGIL_STALL_S", "0"),
        (ProcessorSettings, "VIGIL_LOG_LEVEL", "loud"),
        (ApiSettings, "VIGIL_API_PORT", "65536"),
        (StoreSettings, "VIGIL_OPS_PORT", "-1"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, cls: type, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    line = refused(cls)
    assert line.startswith(f"{variable}: ")
    assert value in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("cls", "variable"), [(EdgeSettings, "VIGIL_EDGE_CONFIG"), (FallbackSettings, "VIGIL_FALLBACK_STATE")]
)
def test_a_missing_value_is_one_line_that_names_the_variable(cls: type, variable: str) -> None:
    assert refused(cls) == f"{variable}: is missing"


@pytest.mark.parametrize("cls", [c for c in EVERY if c not in (EdgeSettings, FallbackSettings)])
def test_without_any_variable_the_embedded_servers_ports_are_meant(cls: type) -> None:
    assert load(cls)


@pytest.mark.parametrize("cls", EVERY)
def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch, cls: type) -> None:
    monkeypatch.setenv("VIGIL_EDGE_CONFIG", "a")
    monkeypatch.setenv("VIGIL_EDGE_SPOOL", "b")
    monkeypatch.setenv("VIGIL_FALLBACK_STATE", "c")
    secrets = {
        "VIGIL_MQTT_PASSWORD": "hush1",
        "VIGIL_DATABASE_DSN": "postgresql://vigil:hush2@127.0.0.1/vigil",
        "VIGIL_API_SECRET": "hush3",
        "VIGIL_FALLBACK_TOKEN": "hush4",
        "VIGIL_FALLBACK_PASSPHRASE": "hush5",
        "VIGIL_FALLBACK_NOTIFY": "wecombot://hush6",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    loaded: Any = load(cls)
    assert "hush" not in f"{loaded!r} {loaded} {loaded.model_dump_json()}"


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql:/vigil:hush@host/vigil",
        "vigil:hush@host/vigil",
        "postgresql://vigil:hush@host:port/vigil",
        "mysql://vigil:hush@host/vigil",
        "host=127.0.0.1 password=hush\nx",
        "",
    ],
)
def test_a_data_source_that_cannot_be_one_is_refused_without_being_printed(
    monkeypatch: pytest.MonkeyPatch, dsn: str
) -> None:
    monkeypatch.setenv("VIGIL_DATABASE_DSN", dsn)
    line = refused(StoreSettings)
    assert line.startswith("VIGIL_DATABASE_DSN: ")
    assert "hush" not in line
    assert "\n" not in line


def test_settings_do_not_change_while_a_process_runs() -> None:
    with pytest.raises(Exception, match="frozen"):
        load(StoreSettings).ops_port = 1


def test_what_processes_share_has_the_same_prefix_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_MQTT_HOST", "broker")
    monkeypatch.setenv("VIGIL_KAFKA_BOOTSTRAP", "log:9092")
    monkeypatch.setenv("VIGIL_OPS_PORT", "9100")
    loaded = load(IngestSettings)
    assert (loaded.mqtt_host, loaded.kafka_bootstrap, loaded.ops_port) == ("broker", "log:9092", 9100)
    assert settings.PREFIX == "VIGIL_"


def test_a_secret_may_come_from_a_file_and_a_variable_goes_before_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "vigil_database_dsn").write_text("postgresql://file@127.0.0.1/vigil\n")
    monkeypatch.setenv("VIGIL_SECRETS", str(tmp_path))
    assert load(StoreSettings).database_dsn.get_secret_value() == "postgresql://file@127.0.0.1/vigil"
    monkeypatch.setenv("VIGIL_DATABASE_DSN", "postgresql://variable@127.0.0.1/vigil")
    assert load(StoreSettings).database_dsn.get_secret_value() == "postgresql://variable@127.0.0.1/vigil"


def test_a_folder_of_secrets_that_is_not_there_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIGIL_SECRETS", str(tmp_path / "none"))
    assert refused(ApiSettings).startswith("VIGIL_SECRETS: ")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"kafka_username": "vigil", "kafka_password": "p"}, "VIGIL_KAFKA_CA"),
        ({"kafka_ca": "ca.pem", "kafka_username": "vigil"}, "VIGIL_KAFKA_PASSWORD"),
        ({"kafka_ca": "ca.pem", "kafka_cert": "a.pem"}, "VIGIL_KAFKA_KEY"),
        ({"kafka_ca": "there-is-none.pem"}, "VIGIL_KAFKA_CA"),
    ],
)
def test_half_of_what_kafka_asks_for_is_named(given: dict[str, str], named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        access(KafkaSettings.model_validate(given))
