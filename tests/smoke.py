"""`make smoke`: one fall, all the way, on the embedded servers; the last line is JSON.

A recorded SisFall fall from VIGIL_DATA or ../shared/data, else the simulator's, goes through a
real edge process, MQTT, ingest, Kafka, processors, PostgreSQL and the API's live stream to an
officer, who takes it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg

from deploy.embedded import community as demo
from deploy.embedded.seed import kept_secrets, seed
from deploy.embedded.servers import HOST, EmbeddedStack, free_port
from edge.config import Node, Recordings, Simulator
from tests.household import Household, NotReadyError, migrate, own_logins
from tests.officer import Officer
from vigil.clock import utc_now
from vigil.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]
PATIENCE_S = 40.0
FIRST_FALL_S = 2.0
_STORED = """
    SELECT count(*), count(DISTINCT id) FROM (
        SELECT id FROM event UNION ALL SELECT id FROM telemetry UNION ALL SELECT id FROM health) AS stored
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What the last line says."""

    alert: bool
    latency_ms: float | None
    acknowledged: bool
    events_stored: int
    duplicates: int


def recordings() -> Path | None:
    """Return the folder with the recordings, None where SisFall is not there."""
    folder = Path(os.environ.get("VIGIL_DATA") or ROOT.parent / "shared/data")
    return folder if (folder / "sisfall" / "sisfall_50hz.npz").is_file() else None


def hurried(node: Node) -> Node:
    """Return a node whose first fall does not keep anybody waiting."""
    sources = {
        name: msgspec.structs.replace(spec, first_fall_s=FIRST_FALL_S)
        for name, spec in node.sources.items()
        if isinstance(spec, (Recordings, Simulator))
    }
    return msgspec.structs.replace(node, sources=sources)


def play(folder: Path) -> Result:
    """Bring everything up, wait for the alert, take it, look at the rows."""
    data = recordings()
    print("a recorded fall of SisFall" if data else "no recordings here: a simulated fall", file=sys.stderr)
    made = demo.community(data)
    secrets = kept_secrets(folder)
    with EmbeddedStack(folder / "servers") as stack:
        environment = {**os.environ, **stack.addresses.environment()}
        migrate(environment)
        seed(stack.addresses.database_dsn, made, (), secrets, utc_now())
        with Household(environment, folder) as household:
            console = f"http://{HOST}:{start_rooms(household)}"
            officer = Officer(console, "officer", secrets.password)
            start_box(household, folder, hurried(made.nodes[0]))
            shown, latency_ms = wait_for_fall(officer)
            acknowledged = shown is not None and officer.do("acknowledge", shown).is_success
            officer.close()
        return look(stack.addresses.database_dsn, shown, latency_ms, acknowledged=acknowledged)


def start_rooms(household: Household) -> int:
    """Start the platform; return the console's port."""
    port = free_port()
    dsn = own_logins(household.environment, household.folder / "logins")
    household.start("processors", "processors", VIGIL_DATABASE_DSN=dsn["processors"])
    household.start("ingest", "ingest", VIGIL_DATABASE_DSN=dsn["ingest"])
    household.start("api", "api", VIGIL_API_PORT=str(port), VIGIL_DATABASE_DSN=dsn["api"])
    household.wait_ready()
    return port


def start_box(household: Household, folder: Path, node: Node) -> None:
    """Start an edge box from a node's file."""
    config = folder / "box.json"
    config.write_bytes(msgspec.json.encode(node))
    household.start("edge", "edge", VIGIL_EDGE_CONFIG=str(config), VIGIL_EDGE_SPOOL=str(folder / "box.db"))


def wait_for_fall(officer: Officer) -> tuple[Mapping[str, Any] | None, float | None]:
    """Return the alert as the stream first shows it, and how long after the impact that was."""
    for alert in officer.stream(PATIENCE_S, after=0):
        if alert["kind"] == "fall":
            happened = datetime.fromisoformat(alert["event_time"])
            return alert, (utc_now() - happened).total_seconds() * 1000
    return None, None


def look(
    dsn: str, shown: Mapping[str, Any] | None, latency_ms: float | None, *, acknowledged: bool
) -> Result:
    """Look at the rows: what was stored, once, and that a named person has the alert."""
    with psycopg.connect(dsn) as connection:
        stored, distinct = _one(connection, _STORED)
        holders = connection.execute("SELECT holder FROM alert WHERE kind = 'fall'").fetchall()
    taken = acknowledged and ("person:officer",) in holders
    latency = None if latency_ms is None else round(latency_ms)
    return Result(shown is not None, latency, taken, stored, stored - distinct)


def _one(connection: psycopg.Connection, query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query.encode()).fetchone()
    return row or ()


def main() -> int:
    """Play it; return 0 if the fall arrived, was taken, and nothing was stored twice."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vigil-smoke-") as name:
        try:
            result = play(Path(name))
        except (Stop, NotReadyError) as error:
            print(f"smoke: {error}", file=sys.stderr)
            return 1
    print(f"took {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(json.dumps(msgspec.to_builtins(result)))
    return 0 if result.alert and result.acknowledged and not result.duplicates else 1


if __name__ == "__main__":
    sys.exit(main())
