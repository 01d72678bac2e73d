"""Keep what `processors.routines` remembers of each resident, and raise what it finds.

Place in the flow: `processors.intake` hands over new changes of homes' sensors, in the transaction
of their batch; `HomeTicker` looks at those whose time has come.  What is decided is decided in
`processors.routines.watch`; here are only its rows: the state, the history beside it (read and
written when something has ended, some ten times a day), and one deadline a resident.

Rules
-----
1. A deadline is moved only forward in time by looking: what was set for eight and is now due at
   nine is claimed at eight and set anew, so that a sign of life costs no write to `deadline`.
2. States are locked before any alert is raised, here as in `processors.ticker`.
3. Consent, planned absences and visits (`profile.absences`, `visits`) count as they are when looked at; who has
   withdrawn is forgotten.
4. Whose front doors are known (`profile.exit_doors`, ids of devices) can go out; others cannot.
5. Two people in one home are watched as one, by their zone; it is empty while both plan to be away.
6. What is remembered but cannot be read (another version wrote it) is begun anew, a profile or a
   time zone that cannot be read is taken for none, and each is logged: no sign of life is lost by it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import structlog

from processors.consent import withheld_for
from processors.decide import alert_of, episode_of
from processors.routines.history import Ended, History
from processors.routines.watch import Finding, Home, Seen, State, learn, look, step
from processors.ticker import ticking
from vigil.alerts import Priority
from vigil.events import SensorChanged, derived_id
from vigil.modes import ROUTINES, ROUTINES_VERSION
from vigil.store import alerts, detections, homes
from vigil.store.detections import Detection
from vigil.store.registry import refresh

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import tzinfo

    from processors.arrivals import Arrival
    from vigil.clock import Clock
    from vigil.registry import Device, Registry
    from vigil.store.alerts import NewAlert
    from vigil.store.pool import Connection, Pool

PAST: Final = "routines_past"
EVERY_S: Final = 5.0
OPEN_ENDED: Final = timedelta(days=90)
PRIORITY: Final = {"night_trips": Priority.MEDIUM, "sensor_silent": Priority.TROUBLE}
"""Of what is not urgent, or no person's; everything else that is missed is high."""
Spans = tuple[tuple[datetime, datetime], ...]
_Row = TypeVar("_Row", bound=msgspec.Struct)
_log = structlog.get_logger(__name__)


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A resident's row.

    Attributes:
        state: What the watch remembers.
        device: Whose change came last: says whose home it is.
        event: Which change came last.
        synthetic: Whether this home is only played.
        row: When the row in `deadline` is due.
    """

    state: State
    device: str
    event: UUID
    synthetic: str | None = None
    row: datetime | None = None


@dataclass(slots=True)
class Told:
    """What was found, to be raised once every lock that is needed is held."""

    detections: list[Detection] = field(default_factory=list)
    alerts: list[NewAlert] = field(default_factory=list)

    def add(
        self, subject: str, watched: Watched, registry: Registry, finding: Finding, now: datetime
    ) -> None:
        """Note a finding about a subject; where routines may not alert yet it is only recorded."""
        detection = _detection(subject, watched, registry, finding, now)
        self.detections.append(detection)
        if detection.shadow:
            return
        priority = PRIORITY.get(detection.kind, Priority.HIGH)
        self.alerts.append(alert_of(detection, detection.explanation, priority))


async def take_in(
    connection: Connection, registry: Registry, arrivals: Iterable[Arrival], now: datetime
) -> Told:
    """Take new changes of homes' sensors in; return what is to be told."""
    told, changed = Told(), _by_subject(arrivals)
    if not changed:
        return told
    zones = await homes.time_zones(connection)
    rows = await detections.load_states(connection, ROUTINES, changed)
    before = {subject: _read(row, Watched) for subject, row in rows.items()}
    after: dict[str, Watched] = {}
    ended: dict[str, list[Ended]] = {}
    for subject, some in changed.items():
        home = _home(some[-1].device, _zone(zones, registry, some[-1].device), now)
        after[subject], found, ended[subject] = _stepped(before.get(subject), some, home)
        for finding in found:
            told.add(subject, after[subject], registry, finding, now)
    after |= await _learned(connection, after, ended, registry, zones, now)
    await _save(connection, after, now)
    return told


async def tell(connection: Connection, told: Told, now: datetime) -> None:
    """Record and raise what was found; serialised until the commit, so it comes last."""
    await detections.insert_detections(connection, told.detections)
    await alerts.raise_alerts(connection, told.alerts, now)


async def in_bed(connection: Connection, subjects: Iterable[str]) -> dict[str, datetime]:
    """Return which residents lie in bed as their bed's sensor says, and since when; nothing is locked."""
    rows = await detections.peek_states(connection, ROUTINES, subjects)
    known = {subject: _read(row, Watched) for subject, row in rows.items()}
    return {
        subject: one.state.in_bed
        for subject, one in known.items()
        if one is not None and one.state.in_bed is not None
    }


def _by_subject(arrivals: Iterable[Arrival]) -> dict[str, list[Arrival]]:
    """Return the changes of homes that belong to somebody, by subject, in order of time."""
    found: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in sorted(arrivals, key=lambda one: one.happened):
        at_home = not arrival.device.public and arrival.device.residents(arrival.happened)
        if isinstance(arrival.data, SensorChanged) and at_home and arrival.synthetic != "canary":
            found[episode_of(arrival)].append(arrival)
    return found


def _stepped(
    watched: Watched | None, arrivals: Sequence[Arrival], home: Home
) -> tuple[Watched, list[Finding], list[Ended]]:
    """Step through a subject's changes."""
    state = watched.state if watched else None
    findings: list[Finding] = []
    ended: list[Ended] = []
    for arrival in arrivals:
        outcome = step(state, _seen(arrival), home)
        state = outcome.state
        findings += outcome.findings
        ended += [outcome.ended] if outcome.ended else []
    last = arrivals[-1]
    assert state is not None  # noqa: S101 - there is at least one arrival
    return (
        Watched(
            state=state,
            device=last.device.id,
            event=last.envelope.id,
            synthetic=last.synthetic,
            row=watched.row if watched else None,
        ),
        findings,
        ended,
    )


def _seen(arrival: Arrival) -> Seen:
    data = arrival.data
    assert isinstance(data, SensorChanged)  # noqa: S101 - `_by_subject` chose them
    people = arrival.device.residents(arrival.happened)
    exits = [door for person in people for door in _listed(person.profile, "exit_doors")]
    return Seen(arrival.happened, data.sensor, data.state, arrival.device.id in exits, arrival.device.id)


def _home(device: Device, zone: tzinfo, now: datetime) -> Home:
    """Return what profiles say of planned absences and of visits; a home of two is empty while both are away."""
    people = device.residents(now)
    planned = [_absences(person.profile) for person in people]
    visits = [visit for person in people for visit in _visits(person.profile)]
    return Home(zone, _together(planned), tuple(visits))


def _together(planned: Sequence[Spans]) -> Spans:
    """Return when all are away at once."""
    if not planned:
        return ()
    both, *others = planned
    for more in others:
        both = tuple(
            (max(begin, since), min(end, until))
            for begin, end in both
            for since, until in more
            if max(begin, since) < min(end, until)
        )
    return both


def _visits(profile: Mapping[str, Any]) -> list[tuple[int, int, int]]:
    """Read `visits`: a list of `{"days": [0, 2], "from": "09:00", "until": "10:30"}`, Monday is 0."""
    found = []
    for entry in _listed(profile, "visits"):
        try:
            begin, end = (time.fromisoformat(entry[key]) for key in ("from", "until"))
            days = [int(day) for day in entry.get("days", range(7))]
        except (AttributeError, KeyError, TypeError, ValueError):
            _log.warning("visit cannot be read", entry=str(entry))
            continue
        found += [(day, begin.hour * 60 + begin.minute, end.hour * 60 + end.minute) for day in days]
    return found


def _absences(profile: Mapping[str, Any]) -> Spans:
    """Read `absences`: a list of `{"from": ..., "until": ...}`; what cannot be read plans nothing.

    One without an end (a hospital stay) lasts until somebody is back, and `OPEN_ENDED` at most: that it
    was forgotten leaves nobody without protection for ever.
    """
    found = []
    for entry in _listed(profile, "absences"):
        try:
            begin = _aware(datetime.fromisoformat(entry["from"]))
            until = entry.get("until")
            end = begin + OPEN_ENDED if until is None else _aware(datetime.fromisoformat(until))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            _log.warning("planned absence cannot be read", entry=str(entry))
            continue
        found.append((begin, end))
    return tuple(found)


def _listed(profile: Mapping[str, Any], key: str) -> list[Any]:
    listed = profile.get(key)
    return listed if isinstance(listed, list) else []


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _zone(zones: Mapping[str, str], registry: Registry, device: Device) -> tzinfo:
    name = zones[registry.nodes[device.node].community]
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        _log.error("time zone is not known here; homes are watched by UTC", zone=name)
        return UTC


async def _learned(
    connection: Connection,
    after: Mapping[str, Watched],
    ended: Mapping[str, Sequence[Ended]],
    registry: Registry,
    zones: Mapping[str, str],
    now: datetime,
) -> dict[str, Watched]:
    """Add what has ended to the histories, and return who has learned from theirs."""
    wanted = [subject for subject, some in ended.items() if some]
    rows = await detections.load_states(connection, PAST, wanted)
    pasts, learned = {}, {}
    for subject in wanted:
        watched, past = after[subject], _read(rows.get(subject), History)
        device = registry.devices[watched.device]
        home = _home(device, _zone(zones, registry, device), now)
        state, pasts[subject] = learn(watched.state, past, ended[subject], watched.state.last, home)
        learned[subject] = msgspec.structs.replace(watched, state=state)
    await detections.save_states(connection, PAST, _stored(pasts), now)
    return learned


async def _save(connection: Connection, watched: Mapping[str, Watched], now: datetime) -> None:
    """Save states; where one is to be looked at sooner than its deadline says, set that anew."""
    saved, waits = {}, {}
    for subject, one in watched.items():
        wake, row = one.state.wake_at, one.row
        sooner = wake is not None and (row is None or wake < row or row <= now)
        saved[subject] = msgspec.structs.replace(one, row=wake) if sooner else one
        if sooner:
            waits[subject] = wake
    await detections.save_states(connection, ROUTINES, _stored(saved), now)
    await detections.set_deadlines(connection, ROUTINES, dict.fromkeys(waits))
    await detections.set_deadlines(connection, ROUTINES, waits)


def _read(row: Any, shape: type[_Row]) -> _Row | None:
    """Return what a row remembers, if it can still be read."""
    try:
        return None if row is None else msgspec.convert(row, shape, strict=False)
    except msgspec.ValidationError as error:
        _log.error("what was remembered of a home cannot be read; begun anew", error=str(error))
        return None


def _stored(rows: Mapping[str, msgspec.Struct]) -> dict[str, Any]:
    return {subject: msgspec.to_builtins(row, str_keys=True) for subject, row in rows.items()}


def _detection(
    subject: str, watched: Watched, registry: Registry, finding: Finding, now: datetime
) -> Detection:
    device = registry.devices[watched.device]
    people, node = device.residents(now), registry.nodes[device.node]
    live = registry.modes.live(ROUTINES, (ROUTINES_VERSION,), node.community, node.estate)
    return Detection(
        id=derived_id("detection", finding.kind, subject, finding.since.isoformat()),
        event=watched.event,
        time=finding.since,
        kind=finding.kind,
        subject=subject.rpartition("/")[2],
        resident=people[0].id if len(people) == 1 else None,
        zone=device.zone,
        estate=node.estate,
        device=device.id,
        score=finding.score,
        model=ROUTINES,
        model_version=ROUTINES_VERSION,
        explanation=finding.sentence,
        synthetic=watched.synthetic,
        made_at=now,
        shadow=live is None,
    )


class HomeTicker:
    """Looks at homes in which something should have happened by now."""

    def __init__(self, pool: Pool, registry: Registry, clock: Clock) -> None:
        self._pool = pool
        self._registry = registry
        self._clock = clock

    async def run(self) -> None:
        """Look for ever."""
        await ticking(self.step, EVERY_S, "homes")

    async def step(self) -> bool:
        """Look at what is due; return whether there was anything."""
        now = self._clock()
        async with self._pool.transaction() as connection:
            rows = await detections.claim_due(connection, ROUTINES, now)
            if rows:
                await refresh(connection, self._registry)
                await self._look(connection, rows, now)
        return bool(rows)

    async def _look(self, connection: Connection, rows: Mapping[str, Any], now: datetime) -> None:
        watched = {subject: _read(row, Watched) for subject, row in rows.items()}
        known = {subject: one for subject, one in watched.items() if one and self._may(one, now)}
        zones = await homes.time_zones(connection)
        nodes = {subject: self._registry.devices[one.device].node for subject, one in known.items()}
        heard = await homes.last_heard(connection, nodes.values())
        told, after = Told(), {}
        for subject, one in known.items():
            device = self._registry.devices[one.device]
            home = _home(device, _zone(zones, self._registry, device), now)
            outcome = look(one.state, now, home, heard.get(nodes[subject]))
            after[subject] = msgspec.structs.replace(one, state=outcome.state, row=None)
            for finding in outcome.findings:
                told.add(subject, one, self._registry, finding, now)
        await _save(connection, after, now)
        await tell(connection, told, now)

    def _may(self, watched: Watched, now: datetime) -> bool:
        """Return whether a home is still known, and may still be watched."""
        device = self._registry.devices.get(watched.device)
        if device is None or device.retired or not device.residents(now):
            return False
        return withheld_for(device, SensorChanged(sensor="presence", state=True), now) is None
