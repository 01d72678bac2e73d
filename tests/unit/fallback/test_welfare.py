"""Whatever happens to the platform, whoever nothing watches over stands on a list."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fallback import records
from fallback.coverage import SILENT
from fallback.liveness import Process
from fallback.probes import Looked
from fallback.rounds import SEEN, Check, Method, Result
from fallback.senses import Heard, Listening
from fallback.state import Mode
from fallback.store import Store
from fallback.watchdog import Fact, Watchdog
from tests.unit.fallback.conftest import T0
from vigil.errors import Rejected
from vigil.roster import Protection, Resident, Roster

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

API = Process("api", "http://api")
NODES = ("n1", "n2")


def resident(number: int) -> Resident:
    """One behind each node, one behind both, and one whom nothing watches over."""
    watched = {0: NODES[:1], 1: NODES[1:], 2: NODES, 3: ()}[number]
    protections = [Protection(f"d{number}{node}", node, "pendant") for node in watched]
    return Resident(id=f"r{number}", estate="e1", name=f"r{number}", risk=1, protections=protections)


ROSTER = Roster(
    community="c1", made_at=T0, estates={"e1": "北里"}, residents=[resident(n) for n in range(4)], staff=[]
)
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("look"), st.booleans()),
        st.tuples(st.just("node"), st.sampled_from(NODES), st.booleans()),
        st.tuples(st.just("listen"), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([1, 30, 60])),
        st.tuples(st.just("check"), st.integers(0, 3), st.sampled_from(Result)),
        st.tuples(st.just("person"), st.sampled_from(["declare", "recover", "close"])),
    ),
    max_size=40,
)


class World:
    """A watchdog to which things happen."""

    def __init__(self, store: Store) -> None:
        self.store, self.now = store, T0
        self.watchdog = Watchdog(
            store, {"e1": []}, [API], lambda: "0" * 8, UTC, T0, lambda: ROSTER, timedelta(0)
        )

    @property
    def mode(self) -> Mode:
        return self.watchdog.verdict("e1").mode

    def happens(self, what: tuple[object, ...]) -> None:
        match what:
            case ("look", bool(well)):
                for _ in range(3):
                    self.step(Looked(API.url, None if well else "ConnectError", self.now, answers=well))
            case ("node", str(node), bool(online)):
                self.step(Heard(node, online, self.now))
            case ("listen", bool(on)):
                self.step(Listening(on, self.now))
            case ("wait", int(seconds)):
                for _ in range(seconds):
                    self.step()
            case ("check", int(number), Result() as result):
                check = Check(f"r{number}", self.now, "li", Method.DOOR, result)
                with self.store.transaction() as connection:
                    records.keep_check(connection, "e1", check, self.now, drill=False)
            case ("person", str(action)):
                self.acts(action)

    def acts(self, action: str) -> None:
        actions: dict[str, Callable[[str, str, datetime], None]] = {
            "declare": lambda e, p, at: self.watchdog.declare(e, p, "机房进水", at),
            "recover": self.watchdog.begin_recovery,
            "close": self.watchdog.close,
        }
        with suppress(Rejected):
            actions[action]("e1", "person:li", self.now)

    def step(self, *facts: Fact) -> None:
        self.now += timedelta(seconds=1)
        self.watchdog.step(self.now, facts)

    def unlisted(self) -> set[str]:
        """Return who is unprotected, was not seen since, and stands on no list."""
        unprotected = self.watchdog.view().estates[0].unprotected
        seen = {
            check.resident
            for check in records.checks(self.store, "e1", T0, drill=False)
            if check.result in SEEN and check.at >= unprotected.get(check.resident, self.now)
        }
        listed = {task.resident.id for task in self.watchdog.round("e1").tasks}
        return unprotected.keys() - seen - listed


@given(happenings)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nobody_is_unprotected_and_on_no_list_and_fallback_is_left_by_people_alone(
    tmp_path: Path, happened: list[tuple[object, ...]]
) -> None:
    store = Store(tmp_path / f"{len(list(tmp_path.iterdir()))}.db")
    store._connection.execute("PRAGMA synchronous=OFF")  # no test here pulls the plug
    world = World(store)
    try:
        for what in happened:
            before = world.mode
            world.happens(what)
            assert world.unlisted() == set()
            if before is Mode.FALLBACK and what[0] != "person":
                assert world.mode is Mode.FALLBACK
            if world.mode is Mode.FALLBACK:
                world.step()
                assert world.watchdog.view().estates[0].unprotected.keys() == {"r0", "r1", "r2", "r3"}
    finally:
        store.close()


def test_who_hangs_behind_a_box_that_is_lost_is_listed_by_name(store: Store) -> None:
    world = World(store)
    world.step(Heard("n1", online=False, at=T0))
    world.happens(("wait", int(SILENT.total_seconds()) + 2))
    assert world.mode is Mode.DEGRADED
    assert [task.resident.id for task in world.watchdog.round("e1").tasks] == ["r0"]
