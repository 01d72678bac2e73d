"""What `make up` runs beside the servers: one table of commands and their settings; pure.

`__main__` fills in addresses, folders and ports, and hands the table to `supervisor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.embedded.supervisor import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

MIGRATE = ("-m", "vigil.store", "migrate")
"""Runs once, after the servers and before the processes."""


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
class Place:
    """Where things are.

    Attributes:
        var: Folder of everything that outlives a run.
        host: Address the processes bind.
        console_port: Port of the duty console.
        fallback_port: Port of the watchdog's own page.
        servers: Settings that name the servers.
    """

    var: Path
    host: str
    console_port: int
    fallback_port: int
    servers: Mapping[str, str]

    @property
    def console(self) -> str:
        """Address of the duty console."""
        return f"http://{self.host}:{self.console_port}/"


def children(place: Place, nodes: Sequence[Node], free_port: Callable[[], int]) -> list[Child]:
    """List the processes in the order of their start: who receives is there before who sends.

    Args:
        place: Addresses and folders.
        nodes: The community's edge nodes.
        free_port: Gives each process a port for its metrics and health.
    """
    watch = {
        "VIGIL_FALLBACK_STATE": str(place.var / "fallback"),
        "VIGIL_FALLBACK_API": place.console.rstrip("/"),
        "VIGIL_FALLBACK_HOST": place.host,
        "VIGIL_FALLBACK_PORT": str(place.fallback_port),
    }
    console = {"VIGIL_API_HOST": place.host, "VIGIL_API_PORT": str(place.console_port)}
    table: list[tuple[str, str, Mapping[str, str]]] = [
        ("processors", "processors", {}),
        ("ingest", "ingest", {}),
        ("api", "api", console),
        ("fallback", "fallback", watch),
        *((f"edge-{node.name}", "edge", _edge(place, node)) for node in nodes),
    ]
    return [_child(name, module, {**place.servers, **own}, place, free_port()) for name, module, own in table]


def _edge(place: Place, node: Node) -> dict[str, str]:
    spool = place.var / "edge" / f"{node.name}.db"
    return {"VIGIL_EDGE_CONFIG": str(node.config), "VIGIL_EDGE_SPOOL": str(spool), **node.env}


def _child(name: str, module: str, env: Mapping[str, str], place: Place, ops_port: int) -> Child:
    ops = {"VIGIL_OPS_HOST": place.host, "VIGIL_OPS_PORT": str(ops_port)}
    return Child(name, ("-m", module), {**env, **ops}, f"http://{place.host}:{ops_port}/readyz")
