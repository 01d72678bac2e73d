"""What `make up` runs beside the servers: one table of commands and their settings; pure.

`__main__` fills in addresses, folders and ports, and hands the table to `supervisor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deploy.embedded.supervisor import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from vigil.topics import Address

MIGRATE = ("-m", "vigil.store", "migrate")
"""Runs once, after the servers and before the processes."""
MAKE_LOGINS = ("-m", "vigil.store", "logins")
"""Runs after it, with the folder that takes them."""


@dataclass(frozen=True, slots=True)
class Node:
    """One edge node of the community.

    Attributes:
        name: Its id.
        config: Its configuration file.
        env: Settings that only this node has.
    """

    name: str
    config: Path
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Watchdog:
    """What the watchdog comes in with.

    Attributes:
        token: Its robot officer's, at the API.
        roster_token: Its own there, for the roster.
        roster_key: Public half of the key that the roster is signed with.
        passphrase: Opens its page and its papers.
        canaries: Its canary nodes.
    """

    token: str
    roster_token: str
    roster_key: str
    passphrase: str
    canaries: Sequence[Address]


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are.

    Attributes:
        var: Folder of everything that outlives a run.
        host: Address the processes bind.
        console_port: Port of the duty console.
        fallback_port: Port of the watchdog's own page.
        roster_key: File that the API signs the roster with.
        servers: Settings that name the servers, as the schema's owner knows them.
        secret: Signs the links in notices and seals second factors, so that both outlive a run.
        master_key: File of the key that residents' keys are wrapped by.
        push_key: File of the key that Web Push is sent with.
    """

    var: Path
    host: str
    console_port: int
    fallback_port: int
    roster_key: Path
    servers: Mapping[str, str]
    secret: str = ""
    master_key: Path | None = None
    push_key: Path | None = None

    @property
    def logins(self) -> Path:
        """Folder with a folder for each process: its login at the database (`vigil.store.logins`)."""
        return self.var / "logins"

    @property
    def packs(self) -> tuple[Path, ...]:
        """Folders that take the fallback packs; on a real site they lie on two disks."""
        return (self.var / "packs" / "1", self.var / "packs" / "2")

    @property
    def watchdog(self) -> str:
        """Address of the watchdog's own page."""
        return f"http://{self.host}:{self.fallback_port}/"

    @property
    def mailbox(self) -> Path:
        """File that takes the notices to the demonstration's people."""
        return self.var / "mailbox.txt"

    @property
    def console(self) -> str:
        """Address of the duty console."""
        return f"http://{self.host}:{self.console_port}/"


def children(
    place: Place, nodes: Sequence[Node], watchdog: Watchdog, free_port: Callable[[], int]
) -> list[Child]:
    """List the processes in the order of their start: who receives is there before who sends.

    Args:
        place: Addresses and folders.
        nodes: The community's edge nodes.
        watchdog: What the watchdog comes in with.
        free_port: Gives each process a port for its metrics and health.
    """
    console = {
        "VIGIL_API_HOST": place.host,
        "VIGIL_API_PORT": str(place.console_port),
        "VIGIL_API_MAILBOX": str(place.mailbox),
        "VIGIL_API_ROSTER_KEY": str(place.roster_key),
        **({"VIGIL_API_SECRET": place.secret} if place.secret else {}),
        **({"VIGIL_API_PUSH_KEY": str(place.push_key)} if place.push_key else {}),
        **({"VIGIL_MASTER_KEY_FILE": str(place.master_key)} if place.master_key else {}),
    }
    inner: list[tuple[str, Mapping[str, str]]] = [("processors", {}), ("ingest", {}), ("api", console)]
    platform = [
        _child(name, name, {**_inside(place, name), **own}, place, free_port()) for name, own in inner
    ]
    outside = _child("fallback", "fallback", _watchdog(place, platform, watchdog), place, free_port())
    edges = [_child(f"edge-{node.name}", "edge", _edge(place, node), place, free_port()) for node in nodes]
    return [*platform, outside, *edges]


def _watchdog(place: Place, platform: Sequence[Child], watchdog: Watchdog) -> dict[str, str]:
    """Look at each process of the platform, from outside."""
    return {
        **_outside(place),
        "VIGIL_FALLBACK_STATE": str(place.var / "fallback" / "watchdog.db"),
        "VIGIL_FALLBACK_API": place.console.rstrip("/"),
        "VIGIL_FALLBACK_HOST": place.host,
        "VIGIL_FALLBACK_PORT": str(place.fallback_port),
        "VIGIL_FALLBACK_TOKEN": watchdog.token,
        "VIGIL_FALLBACK_ROSTER_TOKEN": watchdog.roster_token,
        "VIGIL_FALLBACK_ROSTER_KEY": watchdog.roster_key,
        "VIGIL_FALLBACK_PACKS": ",".join(map(str, place.packs)),
        "VIGIL_FALLBACK_PASSPHRASE": watchdog.passphrase,
        "VIGIL_FALLBACK_CANARIES": ",".join(f"{c.community}/{c.estate}/{c.node}" for c in watchdog.canaries),
        "VIGIL_FALLBACK_PROBES": ",".join(
            [*(f"{child.name}={child.ready_url}" for child in platform), *server_probes(place.servers)]
        ),
    }


def server_probes(servers: Mapping[str, str]) -> list[str]:
    """Return what the watchdog tries of the servers themselves: that their ports accept.

    Args:
        servers: Settings that name the servers.
    """
    where = {
        "mqtt": f"{servers['VIGIL_MQTT_HOST']}:{servers['VIGIL_MQTT_PORT']}",
        "kafka": servers["VIGIL_KAFKA_BOOTSTRAP"],
        "postgres": urlsplit(servers["VIGIL_DATABASE_DSN"]).netloc.rpartition("@")[2],
    }
    return [f"{name}=tcp://{address}" for name, address in where.items()]


def _edge(place: Place, node: Node) -> dict[str, str]:
    spool = place.var / "edge" / f"{node.name}.db"
    return {
        **_outside(place),
        "VIGIL_EDGE_CONFIG": str(node.config),
        "VIGIL_EDGE_SPOOL": str(spool),
        **node.env,
    }


def _inside(place: Place, process: str) -> dict[str, str]:
    """Give the settings of a process of the platform: its own login, and not the owner's."""
    servers = {key: value for key, value in place.servers.items() if key != "VIGIL_DATABASE_DSN"}
    return {**servers, "VIGIL_SECRETS": str(place.logins / process)}


def _outside(place: Place) -> dict[str, str]:
    """Give the settings of whoever stands outside the platform: MQTT alone."""
    return {key: value for key, value in place.servers.items() if key.startswith("VIGIL_MQTT_")}


def _child(name: str, module: str, env: Mapping[str, str], place: Place, ops_port: int) -> Child:
    ops = {"VIGIL_OPS_HOST": place.host, "VIGIL_OPS_PORT": str(ops_port)}
    return Child(name, ("-m", module), {**env, **ops}, f"http://{place.host}:{ops_port}/readyz")
