"""`make restore-drill`: destroy the database under load, twice, bring it back, and count.

| what is lost | what the stream of the log had | what must come back |
|---|---|---|
| the database | was cut some seconds before, as by a broken network | every event, from Kafka |
| the database and Kafka with it | everything: commits waited for it | every event and every act |

The processes run on through both, but for ingest where Apache Kafka is lost.  The last line is JSON: `rpo_s` and `rto_s` are the worse of the two,
`audit_ok` says that the audit log is whole as far as it goes; `lost` and `twice` are counted by
`tests.faults.checker`, which knows nothing of the product.  QUICK=1: embedded servers and a small
database; else mosquitto, Apache Kafka and PostgreSQL with a large one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.embedded.servers import EmbeddedStack
from tests.faults.__main__ import Size, wait_for_boxes, watermarks
from tests.faults.checker import check
from tests.faults.cluster import Cluster
from tests.restore.archive import Archive
from tests.restore.witness import Witness
from tests.servers import real

if TYPE_CHECKING:
    from tests.faults.checker import Account

RPO_S: Final = 60.0
RTO_S: Final = 900.0
PATIENCE_S: Final = 240.0
BOXES: Final = ("r1", "r2", "r3")


@dataclass(frozen=True, slots=True)
class Form:
    """How much is done.

    Attributes:
        events: Of each box, over the whole drill.
        rate: Of each box, a second.
        before_s: Load before each disaster.
        cut_s: How long before the first disaster the stream breaks.
        rows: Of telemetry that lie there already, so that there is something to bring back.
    """

    events: int
    rate: float
    before_s: float
    cut_s: float
    rows: int

    @classmethod
    def chosen(cls) -> Form:
        """Return the form that the environment asks for."""
        if os.environ.get("QUICK"):
            return cls(events=1200, rate=20.0, before_s=5.0, cut_s=5.0, rows=20_000)
        return cls(events=6000, rate=25.0, before_s=20.0, cut_s=30.0, rows=1_000_000)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a disaster cost.

    Attributes:
        lost: What was destroyed.
        rpo_s: Age of the oldest confirmed act of a person that did not come back; 0 if all did.
        rto_s: From the destruction until every process was ready again.
        stored_s: From the destruction until all that boxes had accepted by then was stored.
        acts: Confirmed acts, and how many of them did not come back.
        gone: Events that boxes had deleted on a receipt and that the restored database did not have
            at first (counted while the processes were reading again already: at least so many).
        audit_ok: The audit log has no finding but an end that was cut off with the acts.
        base_mb: Size of the base backup that was restored.
    """

    lost: str
    rpo_s: float
    rto_s: float
    stored_s: float
    acts: int
    acts_lost: int
    gone: int
    audit_ok: bool
    base_mb: float


class Drill:
    """The platform under load, with backups."""

    def __init__(self, folder: Path, form: Form, *, embedded: bool) -> None:
        self.form, self.embedded = form, embedded
        stack = EmbeddedStack(folder / "stack") if embedded else real.RealStack(folder / "stack", fsync=True)
        self.cluster = Cluster(folder, stack, members=1)
        self.stack = stack
        self.folder = folder

    def start(self) -> None:
        """Start the platform, the boxes, the witness and the backups."""
        self.cluster.start()
        self.archive = Archive(self.stack.postgres, self.folder / "backup")
        for number, name in enumerate(BOXES):
            self.cluster.add_box(name, number, self.form.events, self.form.rate)
        self.witness = Witness(self.stack.postgres.dsn, f"r-{BOXES[0]}-worn", Ed25519PrivateKey.generate())
        self._fill()
        self.archive.stream()
        self.archive.run("base")

    def _fill(self) -> None:
        """Put rows of an old box there."""
        with psycopg.connect(self.stack.postgres.dsn, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO telemetry (time, id, node, device, type, boot, lane, seq, received_at, clock, data)"
                " SELECT now() - n * interval '1 ms', gen_random_uuid(), 'old', 'old-sensor',"
                " 'vigil.telemetry.readings.v1', 'b', 'telemetry', n, now(), 'synced',"
                " jsonb_build_object('quantity', 'activity', 'values', jsonb_build_array(n, n, n, n, n, n, n, n))"
                " FROM generate_series(1, %s) AS n",
                [self.form.rows],
            )

    def database(self) -> Outcome:
        """Lose the database, and the last seconds of its log with it."""
        self._act(self.form.before_s)
        self.archive.cut()
        time.sleep(self.form.cut_s)
        return self._disaster("database")

    def site(self) -> Outcome:
        """Lose the database and Kafka's log, with commits that wait for the stream."""
        self.archive.synchronous(on=True)
        self._act(self.form.before_s)
        return self._disaster("database and Kafka", kafka=True)

    def _act(self, seconds: float) -> None:
        self.witness.start()
        time.sleep(seconds)

    def _disaster(self, lost: str, *, kafka: bool = False) -> Outcome:
        accepted = watermarks(self.cluster.spools)
        began = time.monotonic()
        self.archive.destroy()
        if kafka:
            self._lose_kafka()
        self.witness.stop()
        self.archive.restore()
        gone, acts_lost = self._gone(accepted), self.witness.lost()
        self.archive.stream()
        self.cluster.wait_ready(limit_s=120)
        rto_s = time.monotonic() - began
        findings = self.witness.findings()
        acts = len(self.witness.acts)
        self.witness.settle(acts_lost)
        self._await_stored({key: last for key, (last, _) in accepted.items()}, began)
        stored_s = time.monotonic() - began
        self.archive.run("base")
        for finding in findings:
            print(f"  audit: {finding.kind}: {finding.says}", file=sys.stderr)
        return Outcome(
            lost,
            rpo_s=round(began - min((at for _, at in acts_lost), default=began), 2),
            rto_s=round(rto_s, 1),
            stored_s=round(stored_s, 1),
            acts=acts,
            acts_lost=len(acts_lost),
            gone=gone,
            audit_ok=all(finding.kind == "cut" and acts_lost for finding in findings),
            base_mb=self._base_mb(),
        )

    def _lose_kafka(self) -> None:
        """Lose the log; what starts in its place is another one, and empty."""
        self.stack.kafka.kill()
        if not self.embedded:
            self.cluster.stack.kafka.folder.joinpath("data").rename(self.folder / "lost-log")
        self.stack.kafka.start()
        if not self.embedded:
            # Apache Kafka makes no topic by itself: ingest does, when it starts (docs/howto/backup.md, step 6).
            ingest = self.cluster.rooms["ingest-1"]
            ingest.restart()
            ingest.wanted = True

    def _gone(self, told: dict[tuple[str, str, str], tuple[int, int]]) -> int:
        """Count what boxes were told is stored and the database does not know."""
        with psycopg.connect(self.stack.postgres.dsn) as connection:
            rows = connection.execute("SELECT node, boot, lane, stored(accounted) FROM watermark").fetchall()
        known = {(node, boot, lane): stored for node, boot, lane, stored in rows}
        return sum(max(stored - known.get(key, 0), 0) for key, (_, stored) in told.items())

    def _await_stored(self, wanted: dict[tuple[str, str, str], int], began: float) -> None:
        """Wait until the database has accounted for what was accepted, whatever boxes were told."""
        while time.monotonic() < began + PATIENCE_S:
            if not self._gone({key: (last, last) for key, last in wanted.items()}):
                return
            time.sleep(0.2)
        print(f"  not all of it is stored after {PATIENCE_S:.0f} s", file=sys.stderr)

    def _base_mb(self) -> float:
        newest = max((self.folder / "backup/base").iterdir())
        return round(sum(file.stat().st_size for file in newest.rglob("*") if file.is_file()) / 1e6, 1)

    def end(self) -> Account:
        """Wait for the boxes, and count."""
        self.archive.synchronous(on=False)
        size = Size(
            rounds=1, boxes=len(BOXES), events=self.form.events, rate=self.form.rate, faults=0, factor=0
        )
        wait_for_boxes(self.cluster, size)
        return check(self.cluster.spools, self.stack.postgres.dsn)


def last_line(outcomes: list[Outcome], account: Account, servers: str) -> dict[str, Any]:
    """Return what others read."""
    return {
        "rpo_s": max(outcome.rpo_s for outcome in outcomes),
        "rto_s": max(outcome.rto_s for outcome in outcomes),
        "audit_ok": all(outcome.audit_ok for outcome in outcomes),
        "accepted": account.accepted,
        **account.ends,
        "lost": len(account.lost),
        "twice": len(account.twice) + account.effects_twice,
        "unknown": len(account.unknown),
        "servers": servers,
        "disasters": [asdict(outcome) for outcome in outcomes],
    }


def good(line: dict[str, Any], account: Account) -> bool:
    """Return whether the objectives are kept."""
    return account.adds_up and line["audit_ok"] and line["rpo_s"] <= RPO_S and line["rto_s"] <= RTO_S


def main() -> int:
    """Play both disasters; return 0 if the objectives are kept."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    embedded = bool(os.environ.get("QUICK")) or bool(real.missing())
    with tempfile.TemporaryDirectory(prefix="vigil-restore-") as name:
        Path(name).chmod(0o711)  # the server's account passes through
        drill = Drill(Path(name), Form.chosen(), embedded=embedded)
        try:
            drill.start()
            outcomes = [drill.database(), drill.site()]
            account = drill.end()
        finally:
            if hasattr(drill, "archive"):
                drill.witness.stop()
                drill.archive.cut()
            drill.cluster.stop()
    for kind in ("lost", "twice", "unknown"):
        for row in getattr(account, kind)[:20]:
            print(f"{kind}: {row}", file=sys.stderr)
    line = last_line(outcomes, account, "embedded" if embedded else "mosquitto, Apache Kafka, PostgreSQL")
    print(json.dumps(line))
    return 0 if good(line, account) else 1


if __name__ == "__main__":
    sys.exit(main())
