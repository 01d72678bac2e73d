"""Settings of each process, read from the environment (prefix `VIGIL_`) by `__main__`.

One class per process; what several processes share stands in a class of its own.  Any of them may
come from a file instead: `VIGIL_SECRETS` names a folder with files named as the variables are, in
small letters (`vigil_database_dsn`), as container platforms mount secrets; a variable goes before
its file.  A bad
value ends the process with one line that names the variable.  Secrets are never printed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from vigil.errors import Misconfigured

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PREFIX = "VIGIL_"
SECRETS = "VIGIL_SECRETS"
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
S = TypeVar("S", bound=BaseSettings)


class _Settings(BaseSettings):
    """The prefix, on every class: with several bases pydantic takes the last one's configuration."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)


class ProcessSettings(_Settings):
    """What every process has: its log, and the small server for ops (metrics, health)."""

    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    ops_host: str = "127.0.0.1"
    ops_port: Annotated[int, Field(ge=0, le=65535)] = 0


class MqttSettings(_Settings):
    """Where the MQTT broker is, and who we are there."""

    mqtt_host: str = "127.0.0.1"
    mqtt_port: Port = 1883
    # The environment has only text, which Literal does not convert.
    mqtt_protocol: Annotated[Literal[4, 5], BeforeValidator(int)] = 4
    mqtt_username: str | None = None
    mqtt_password: SecretStr | None = None
    mqtt_ca: Path | None = None
    mqtt_cert: Path | None = None
    mqtt_key: Path | None = None


class KafkaSettings(_Settings):
    """Where Kafka is.

    Attributes:
        kafka_idempotent: Off: an idempotent producer of aiokafka never recovers when a broker has
            lost its sequence, and events are recognised by their ids anyway (decision 0002).
        kafka_incarnation: What tells this log from another; empty asks the broker.
        kafka_ca: Who signs the brokers' certificates; with it everything goes over TLS.
        kafka_cert: Our own certificate, with `kafka_key`, where brokers ask for one.
        kafka_username: Ours there, by SCRAM-SHA-512 with `kafka_password`; over TLS alone.
    """

    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_idempotent: bool = False
    kafka_incarnation: str = ""
    kafka_ca: Path | None = None
    kafka_cert: Path | None = None
    kafka_key: Path | None = None
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None


_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^@:/,?\s\[\]]*)(:\d+)?"
_DSN = re.compile(rf"postgres(ql)?://([^@/\s]*@)?{_HOST}(,{_HOST})*(/[^?\s]*)?(\?\S*)?")


def _checked(dsn: SecretStr) -> SecretStr:
    """Refuse what the driver could not read: its own message would quote it, password and all."""
    if not _DSN.fullmatch(dsn.get_secret_value()):
        raise ValueError("is not like postgresql://user:password@host:port/database")
    return dsn


class DatabaseSettings(_Settings):
    """Where PostgreSQL is."""

    database_dsn: Annotated[SecretStr, AfterValidator(_checked)] = SecretStr("postgresql://127.0.0.1/vigil")


class EdgeSettings(ProcessSettings, MqttSettings):
    """`python -m edge`: one node."""

    edge_config: Path
    edge_spool: Path


class IngestSettings(ProcessSettings, MqttSettings, KafkaSettings, DatabaseSettings):
    """`python -m ingest`: one member of the group that carries MQTT to Kafka.

    Attributes:
        ingest_shared: Members share the messages between them.  Off, each takes them all, which
            costs work and changes nothing: for a broker that loses what a dead member held.
    """

    ingest_shared: bool = True
    ingest_member: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = "1"
    ingest_window: Annotated[int, Field(ge=1, le=65535)] = 1000


class ProcessorSettings(ProcessSettings, KafkaSettings, DatabaseSettings):
    """`python -m processors`: one member of the group that decides.

    Attributes:
        processor_lanes: What this process takes in, separated by commas.  With much telemetry let
            one process have `alarm,state,dead` and another one `bulk`: see decision 0008.
    """

    processor_group: str = "processors"
    processor_lanes: Annotated[
        str, Field(pattern=r"^(alarm|bulk|state|dead)(,(alarm|bulk|state|dead))*$")
    ] = "alarm,bulk,state,dead"
    batch_events: Annotated[int, Field(ge=1, le=100_000)] = 2000
    stall_s: Seconds = 30.0
    candidate_models: Path | None = None


class ApiSettings(ProcessSettings, DatabaseSettings):
    """`python -m api`: the duty console and the API.

    Attributes:
        master_key_file: Master keys that residents' keys are wrapped by, base64, one a line, the one in
            use first; without it personal fields are written in clear.
        api_secret: Signs the links in notices; without it they end with the process.
        api_url: Where people reach the console, for those links; empty is the address served.
        api_roster_key: File of the key that signs the watchdog's roster.
        api_webhook_networks: Networks of the site's own that webhooks may reach, comma separated (CIDR).
        api_resident_url: Apprise address of the gateway that calls residents; `{phone}` in it is
            filled in.  Without one residents are not asked.
        api_mailbox: File that takes notices to `mailbox://` addresses, in demonstrations and drills.
        api_device_ca: Folder of the authority that signs the boxes' certificates (`deploy.pki`).
        api_broker: `host:port` of the broker that boxes connect to with them.
        api_address_a_second: Requests from one address; what acts on an alert is never refused.
        api_account_a_second: Requests of one account.
        api_oidc_issuer: The identity provider's address; wants `api_secret` and `api_url` as well.
        api_oidc_client_id: Ours there.
        api_oidc_client_secret: Ours there; none for a public client.
        api_oidc_account_claim: The claim that names an account at its first sign-in.
        api_oidc_role_claim: The claim that holds the names which `api_oidc_roles` maps.
        api_oidc_roles: `name=role`, comma separated; without any, accounts keep their roles.
        api_push_key: File of the key (PEM, P-256) that Web Push is sent with; browsers subscribe to its
            public half, so it stays.  Without one there is no Web Push.
        api_push_contact: `mailto:` or `https:`, where a push service can complain; empty is `api_url`.
        api_push_services: Origins (`https://push.example.org`) of push services besides those of the
            browsers' makers, comma separated.
    """

    api_host: str = "127.0.0.1"
    api_port: Port = 8000
    master_key_file: Path | None = None
    api_secret: SecretStr | None = None
    api_url: str = ""
    api_roster_key: Path | None = None
    api_mailbox: Path | None = None
    api_webhook_networks: str = ""
    api_device_ca: Path | None = None
    api_broker: Annotated[str, Field(pattern=r"^(.+:[0-9]{1,5})?$")] = ""
    api_resident_url: SecretStr | None = None
    api_address_a_second: Annotated[float, Field(gt=0)] = 100.0
    api_account_a_second: Annotated[float, Field(gt=0)] = 20.0
    api_oidc_issuer: str = ""
    api_oidc_client_id: str = ""
    api_oidc_client_secret: SecretStr | None = None
    api_oidc_account_claim: str = "preferred_username"
    api_oidc_role_claim: str = "groups"
    api_oidc_roles: str = ""
    api_push_key: Path | None = None
    api_push_contact: str = ""
    api_push_services: str = ""


class FallbackSettings(ProcessSettings, MqttSettings):
    """`python -m fallback`: the watchdog; no Kafka and no database.

    Attributes:
        fallback_state: Its SQLite file.
        fallback_api: Where the platform's API answers.
        fallback_token: The robot officer's bearer token there.
        fallback_host: Address of its own page; beyond loopback it wants a passphrase.
        fallback_port: Port of its own page.
        fallback_passphrase: Opens the page and the fallback packs.
        fallback_canaries: `community/estate/node`, comma separated; several nodes of an
            estate are used in turn, so that every partition of the log is tried.
        fallback_probes: `service=url`, comma separated; the processes of one service share
            its name, and the service stands while one of them does.
        fallback_notify: Apprise URLs, separated by blanks; without any, notices are logged.
        fallback_zone: Time zone of what people read.
        fallback_roster_token: A watchdog's bearer token at the platform, for the roster and for
            handing alerts over to people on paper.
        fallback_roster_key: The public key that the platform's roster is signed with (base64).
        fallback_packs: Folders that take the fallback packs, comma separated; two at least.
        fallback_printer: CUPS name of a printer; it prints the pack when a fallback is declared.
        fallback_canary_good_s: How long canaries must have been good before a fallback is closed.
        fallback_peer: The other instance's page; its verdict is looked at every 5 s.
        fallback_alertmanager: Address of Alertmanager, whose heartbeat says that monitoring works.
        fallback_heartbeat: URL of a dead man's switch (as Healthchecks has them), called every
            60 s while this watchdog turns.
    """

    fallback_state: Path
    fallback_api: str = "http://127.0.0.1:8000"
    fallback_token: SecretStr | None = None
    fallback_host: str = "127.0.0.1"
    fallback_port: Annotated[int, Field(ge=0, le=65535)] = 8090
    fallback_passphrase: SecretStr | None = None
    fallback_canaries: str = ""
    fallback_probes: str = ""
    fallback_notify: SecretStr = SecretStr("")
    fallback_zone: str = "Asia/Shanghai"
    fallback_roster_token: SecretStr | None = None
    fallback_roster_key: str | None = None
    fallback_packs: str = ""
    fallback_printer: str | None = None
    fallback_canary_good_s: Seconds = 600.0
    fallback_peer: str | None = None
    fallback_alertmanager: str | None = None
    fallback_heartbeat: SecretStr | None = None


class StoreSettings(ProcessSettings, DatabaseSettings):
    """`python -m vigil.store`: migrations and the database's care."""


class BackupSettings(ProcessSettings):
    """`python -m deploy.backup`: base backups and the stream of the database's log.

    Attributes:
        backup_dsn: A role with REPLICATION; it reads the whole cluster.
        backup_folder: Where they lie: on another disk than the database, better on another host.
        backup_programs: Folder of PostgreSQL's programs, where they are not on the path.
        backup_keep_days: What people had erased is gone from the backups after so long.
    """

    backup_dsn: Annotated[SecretStr, AfterValidator(_checked)]
    backup_folder: Path
    backup_programs: Path | None = None
    backup_keep_days: Annotated[int, Field(ge=1, le=366)] = 14


class CheckSettings(ProcessSettings, MqttSettings, KafkaSettings, DatabaseSettings):
    """`python -m deploy.check`: whether a running installation is what it ought to be.

    Attributes:
        check_community: Whose broker it is.
        check_processes: `name=host:port` of each process' `/readyz`, comma separated; `fallback` and
            `wal` among them are asked for canaries, papers and backups as well.
        check_boxes: `host:port` of the boxes' TLS listener.
        check_boxes_ca: The authority that has signed it.
        check_replicas: How many brokers are to have each topic.
        check_canary_s: How long to wait for a canary.
    """

    check_community: str
    check_processes: str = ""
    check_boxes: Annotated[str, Field(pattern=r"^(.+:[0-9]{1,5})?$")] = ""
    check_boxes_ca: Path | None = None
    check_replicas: Annotated[int, Field(ge=1, le=9)] = 1
    check_canary_s: Seconds = 20.0


def load(cls: type[S]) -> S:
    """Read a process's settings.

    Raises:
        Misconfigured: Names the first variable that is missing or wrong.
    """
    folder = os.environ.get(SECRETS)
    if folder is not None and not Path(folder).is_dir():
        raise Misconfigured(SECRETS, f"{folder} is no folder")
    try:
        return cls(_secrets_dir=folder)
    except ValidationError as error:
        first = error.errors()[0]
        variable = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
        raise Misconfigured(variable, _why(cls, first)) from None


def _why(cls: type[BaseSettings], first: ErrorDetails) -> str:
    if first["type"] == "missing":
        return "is missing"
    secret = "Secret" in str(cls.model_fields[str(first["loc"][0])].annotation)
    return first["msg"] if secret else f"{first['msg']} (is {first['input']!r})"
