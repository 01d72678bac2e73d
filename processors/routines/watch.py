"""Watch one resident's day: what is usual by now, and has not happened.  One pure state machine.

Place in the flow: `step` takes every change of a home's sensor in, `look` is called when `wake_at`
has passed (a row in `deadline`, claimed by `processors.ticker`), and both say what was found.  What
is usual was learned by `processors.routines.history` from the past.

Rules
-----
1. Any change is a sign of life.  Silence longer than `limits.due` says is a finding, and none waits
   longer than 12 h: whichever sensor is missing, the finding comes earlier and never later.
2. After the front door, and nothing since, somebody has gone out: not back within their longest way
   out, and half as long again (12 h at most, and while habits are unknown), is a finding.  Who falls
   behind the door without another sign is found by this rule only.  In a home without a front
   door's sensor nobody goes out, and rule 1 holds.
3. The front door at night by somebody who hardly ever does that, and no sign for a quarter of an
   hour, is a finding.
4. In bed an hour after the latest rise of two months, or for 12 h, is a finding.
5. More trips to the bathroom than one night in a hundred would bring is a finding.
6. Where no sensor of the home is heard, its silence is nobody's: the same finding says that nobody
   can tell.  It is not withheld.
7. During a planned absence (travel, hospital) nothing is missed; silence counts from its end.  Who is
   seen at home for `BACK_AFTER` in it is back, and is watched over again from then on.
8. Each is found once, until there is a sign of life.
9. Signs come late and out of order: an old one changes nothing but the past.
10. While somebody is known to visit (a carer's hours), the front door is theirs: nobody has gone out by
    it, and the silence after it counts as one at home.
11. A sensor that is silent for much longer than ever, while others of its home are not, is itself at
    fault.  It is found as that, and what is missed meanwhile says so.

Limits: two people in one home are one to these sensors, and a visitor whom nobody announced is a sign of
life.  A guest who stays for hours in an empty home ends a planned absence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from processors.routines import limits, words
from processors.routines.history import DAY_MIN, Ended, Habits, History, chance_of_trips, habits, kept
from processors.routines.limits import CAP, LEARNING, REFIT, local_minutes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from processors.routines.words import Sentence

OUT_AFTER: Final = timedelta(minutes=10)
"""Silence after the front door from which somebody counts as out."""
NIGHT_DOOR: Final = timedelta(minutes=15)
NIGHT: Final = (23 * 60, 5 * 60)
"""From and until, in minutes of the day: when nobody is expected to go out."""
RARE_EXITS: Final = 0.1
"""Share of the nights below which the front door at night is unusual."""
TRIP: Final = timedelta(minutes=10)
"""Water used within this belongs to the same trip."""
TRIPS_BETWEEN: Final = (22 * 60, 6 * 60)
RARE_NIGHT: Final = 0.01
FEWEST_TRIPS: Final = 4
"""Fewer are nothing to tell anybody, whatever is usual."""
LAID_DOWN: Final = timedelta(hours=2)
"""Who goes to bed so shortly before they should be up has been up."""
KEPT: Final = timedelta(minutes=15)
"""Shorter silences teach nothing."""
VISIT: Final = timedelta(minutes=30)
"""Carers come early and leave late by as much."""
BACK_AFTER: Final = timedelta(hours=2)
"""Who waters the plants is gone by then."""
SILENT_HOME: Final = timedelta(hours=2)
"""A silence of the whole home that counts against none of its sensors."""
SENSOR_DAYS: Final = timedelta(days=14)
"""A sensor is known from then on, and by `SENSOR_SIGNS`."""
SENSOR_SIGNS: Final = 100
SENSOR_LEAST: Final = timedelta(days=1)
SENSOR_TIMES: Final = 4
"""Silent for so many times its longest silence, and for a day, counting only hours in which others speak:
chosen, not fitted."""
HEARD: Final = timedelta(hours=2)
"""A sensor that was not heard for longer is silent itself; they report every hour or more often."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A change of one of the home's sensors.

    Attributes:
        at: When it happened.
        sensor: `motion`, `door`, `bed`, `chair`, `appliance`, `water_use` or `presence`.
        on: Moved, opened, occupied, used.
        exit: Whether it is the front door.
        device: Which sensor of that kind; sensors without a name are not told apart.
    """

    at: datetime
    sensor: str
    on: bool = True
    exit: bool = False
    device: str = ""


@dataclass(frozen=True, slots=True)
class Home:
    """What is known of a home apart from its sensors.

    Attributes:
        zone: Its time zone.
        planned: Absences that were told in advance (travel, hospital): from and until.
        visits: When somebody comes who has the door: weekday (0 is Monday), from and until in minutes
            of the day.
        early: Whether somebody may be back before the end; not where a sensor of presence told the end.
    """

    zone: tzinfo
    planned: tuple[tuple[datetime, datetime], ...] = ()
    visits: tuple[tuple[int, int, int], ...] = ()
    early: bool = True


class Sensor(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of one sensor; an array, for there may be dozens in a home.

    Attributes:
        kind: As `Seen.sensor`.
        last: Its latest change, in minutes since 1970.
        longest: Its longest silence so far, in minutes.
        signs: Changes so far.
        told: Whether its present silence was found.
        quiet: Minutes since `last` in which the whole home was silent: no single sensor's fault.
    """

    kind: str
    last: int
    longest: int = 0
    signs: int = 1
    told: bool = False
    quiet: int = 0

    def silence(self, now: int) -> int:
        """Return for how long it has been silent while others were not, in minutes."""
        return now - self.last - self.quiet


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of one resident.

    Attributes:
        since: First sign.
        last: Latest sign.
        habits: What is usual.
        learned: When that was learned.
        left: The front door was used then, and there was no sign since.
        in_bed: In bed since.
        night: Number of the night that is counted, and in it trips and the latest.
        found: What was found since the latest sign.
        wake_at: When to look again.
        sensors: What is known of each sensor.
        back: First sign in the home during the present planned absence.
        returned: Beginning of the planned absence that somebody came back from early.
    """

    since: datetime
    last: datetime
    habits: Habits = Habits()
    learned: datetime | None = None
    left: datetime | None = None
    in_bed: datetime | None = None
    night: int = 0
    trips: int = 0
    trip: datetime | None = None
    found: tuple[str, ...] = ()
    wake_at: datetime | None = None
    sensors: dict[str, Sensor] = {}
    back: datetime | None = None
    returned: datetime | None = None


Kind = Literal[
    "inactivity", "sensors_silent", "no_return", "wandering", "not_up", "night_trips", "sensor_silent"
]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was not as usual.

    Attributes:
        kind: What the alert will be called.
        since: When it began.
        due: When it became a finding.
        score: How sure.
    """

    kind: Kind
    since: datetime
    due: datetime
    score: float
    sentence: Sentence


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a sign, or of a look.

    Attributes:
        state: To be remembered; its `wake_at` is when to look again.
        findings: To be raised.
        ended: For the history.
    """

    state: State
    findings: tuple[Finding, ...] = ()
    ended: Ended = field(default_factory=Ended)


def step(state: State | None, seen: Seen, home: Home) -> Outcome:
    """Take a sign of life in.

    Args:
        state: What is remembered, or None.
        seen: The next sign, in the order of arrival.
        home: What else is known.
    """
    if state is None:
        state = State(since=seen.at, last=seen.at)
    if seen.at < state.last:
        return Outcome(state)
    ended, before = _ended(state, seen, home), state.last
    state, trips = _counted(_moved(_back(state, seen, home), seen, home), seen, home)
    state, faults = _heard(state, seen, home, before)
    state = msgspec.structs.replace(state, wake_at=wake(state, home))
    return Outcome(state, (*trips, *faults), ended)


def look(state: State, now: datetime, home: Home, heard: datetime | None) -> Outcome:
    """Say what is overdue.

    Args:
        state: What is remembered.
        now: Present time.
        home: What else is known.
        heard: When any of the home's sensors was last heard, be it only that it is well.
    """
    overdue = [one for one in _expected(state, home) if one.due <= now]
    found = tuple(_told(state, one, now, home, heard) for one in overdue)
    state = msgspec.structs.replace(state, found=(*state.found, *(one.kind for one in overdue)))
    return Outcome(msgspec.structs.replace(state, wake_at=wake(state, home)), found)


def wake(state: State, home: Home) -> datetime | None:
    """Return when the next thing that has to happen is overdue."""
    return min((one.due for one in _expected(state, home)), default=None)


def learn(
    state: State,
    history: History | None,
    ended: Sequence[Ended],
    now: datetime,
    home: Home,
    learning: timedelta = LEARNING,
) -> tuple[State, History]:
    """Add what has ended to the history, and once a week learn from it what is usual.

    Until `learning` has passed since the first sign, the fixed rules hold.
    """
    minutes = local_minutes(now, home.zone)
    history = history or History(since=local_minutes(state.since, home.zone))
    history = kept(history, ended, minutes)
    if now - state.since < learning or (state.learned is not None and now - state.learned < REFIT):
        return state, history
    state = msgspec.structs.replace(state, habits=habits(history, minutes), learned=now)
    return msgspec.structs.replace(state, wake_at=wake(state, home)), history


def _heard(state: State, seen: Seen, home: Home, before: datetime) -> tuple[State, tuple[Finding, ...]]:
    """Note which sensor spoke, and find those that should have, too; `before` is the home's last sign."""
    if not seen.device:
        return state, ()
    now, gap = int(seen.at.timestamp() // 60), int((seen.at - before).total_seconds() // 60)
    sensors = dict(state.sensors)
    if seen.at - before >= SILENT_HOME:
        sensors = {name: msgspec.structs.replace(one, quiet=one.quiet + gap) for name, one in sensors.items()}
    known = sensors.get(seen.device)
    longest, signs = (max(known.longest, known.silence(now)), known.signs + 1) if known else (0, 1)
    sensors[seen.device] = Sensor(seen.sensor, now, longest, signs)
    silent = {name: one for name, one in sensors.items() if not one.told and _at_fault(state, one, now)}
    sensors |= {name: msgspec.structs.replace(one, told=True) for name, one in silent.items()}
    found = tuple(_fault(one, seen.at, home) for one in silent.values())
    return msgspec.structs.replace(state, sensors=sensors), found


def _at_fault(state: State, sensor: Sensor, now: int) -> bool:
    """Return whether a sensor's silence is its own: `now` in minutes, when another sensor spoke."""
    least = SENSOR_LEAST.total_seconds() // 60
    known = now - state.since.timestamp() // 60 >= SENSOR_DAYS.total_seconds() // 60
    return (
        known
        and sensor.signs >= SENSOR_SIGNS
        and sensor.silence(now) > max(SENSOR_TIMES * sensor.longest, least)
    )


def _fault(sensor: Sensor, at: datetime, home: Home) -> Finding:
    since = datetime.fromtimestamp(sensor.last * 60, UTC)
    sentence = words.sensor_silent(sensor.kind, words.day(since, home.zone))
    return Finding("sensor_silent", since, at, 0.95, sentence)


def _back(state: State, seen: Seen, home: Home) -> State:
    """Note who is at home although an absence is planned."""
    away = [begin for begin, end in home.planned if begin <= seen.at < end]
    if not away or not home.early:
        return msgspec.structs.replace(state, back=None) if state.back else state
    if seen.sensor == "door" or seen.exit:
        return state
    if state.back is None or state.back < max(away):
        return msgspec.structs.replace(state, back=seen.at)
    if seen.at - state.back >= BACK_AFTER:
        return msgspec.structs.replace(state, returned=max(away))
    return state


def _planned(state: State, home: Home) -> list[tuple[datetime, datetime]]:
    """Return the planned absences that still hold."""
    return sorted(span for span in home.planned if span[0] != state.returned)


def _visited(at: datetime, home: Home) -> bool:
    """Return whether somebody is known to visit then."""
    local = at.astimezone(home.zone)
    minute, slack = local.hour * 60 + local.minute, VISIT.total_seconds() // 60
    return any(
        day == local.weekday() and begin - slack <= minute <= end + slack for day, begin, end in home.visits
    )


def _moved(state: State, seen: Seen, home: Home) -> State:
    """Note a sign: where it leaves the resident."""
    in_bed, found = state.in_bed, tuple(kind for kind in state.found if kind == "not_up")
    if seen.sensor == "bed":
        in_bed, found = seen.at if seen.on else None, ()
    left = seen.at if seen.exit and not _visited(seen.at, home) else None
    return msgspec.structs.replace(state, last=seen.at, left=left, in_bed=in_bed, found=found)


def _ended(state: State, seen: Seen, home: Home) -> Ended:
    """Return the silence or the way out that a sign ends, and the night's use of the front door.

    What was found at the latest, after `CAP`, is not learned to be usual: nobody was there, or no
    sensor, or somebody needed help.  A planned absence teaches nothing either, even one that was
    ended early.
    """
    span = (local_minutes(state.last, home.zone), local_minutes(seen.at, home.zone))
    night = _night(seen.at, home, NIGHT)
    exits = (night,) if seen.exit and night is not None else ()
    nights = ((state.night, state.trips),) if _over(state, seen, home) else ()
    out = state.left is not None and seen.at - state.left >= OUT_AFTER
    planned = any(begin < seen.at and end > state.last for begin, end in home.planned)
    if out or planned or seen.at - state.last >= CAP:
        return Ended(absences=(span,), nights=nights, exits=exits)
    long = seen.at - state.last >= KEPT
    return Ended(silences=(span,) if long else (), nights=nights, exits=exits)


def _over(state: State, seen: Seen, home: Home) -> bool:
    """Return whether the night that is being counted is over."""
    ends = (state.night + 1) * DAY_MIN + TRIPS_BETWEEN[1]
    return state.night > 0 and local_minutes(seen.at, home.zone) >= ends


def _night(at: datetime, home: Home, between: tuple[int, int]) -> int | None:
    """Return the number of the night, by the day on which it began, that a time falls in."""
    begins, ends = between
    day, minute = divmod(local_minutes(at, home.zone), DAY_MIN)
    if minute >= begins:
        return day
    return day - 1 if minute < ends else None


def _counted(state: State, seen: Seen, home: Home) -> tuple[State, tuple[Finding, ...]]:
    """Count a trip to the bathroom."""
    night = _night(seen.at, home, TRIPS_BETWEEN) or 0
    if night != state.night:
        state = msgspec.structs.replace(state, night=night, trips=0, trip=None)
    if not night or seen.sensor != "water_use" or not seen.on or _same_trip(state, seen):
        return state, ()
    state = msgspec.structs.replace(state, trips=state.trips + 1, trip=seen.at)
    return state, _too_many(state, seen.at)


def _same_trip(state: State, seen: Seen) -> bool:
    return state.trip is not None and seen.at - state.trip < TRIP


def _too_many(state: State, at: datetime) -> tuple[Finding, ...]:
    """Return the finding of a night with too many trips, at the first that is too many."""
    known = state.habits
    if state.trips < FEWEST_TRIPS or known.nights == 0:
        return ()
    chance = chance_of_trips(state.trips, known.trips, known.nights)
    before = chance_of_trips(state.trips - 1, known.trips, known.nights)
    if chance >= RARE_NIGHT or (before < RARE_NIGHT and state.trips > FEWEST_TRIPS):
        return ()
    sentence = words.trips(state.trips, known.trips / known.nights)
    return (Finding("night_trips", at, at, 1 - chance, sentence),)


@dataclass(frozen=True, slots=True)
class _Expected:
    """Something that has to happen, until when."""

    kind: Kind
    since: datetime
    due: datetime


def _expected(state: State, home: Home) -> list[_Expected]:
    """Return what has to happen, and was not found missing yet."""
    expected = [*_of_absent(state, home), *_of_present(state, home), *_of_sleeper(state, home)]
    return [one for one in expected if one.kind not in state.found]


def _of_absent(state: State, home: Home) -> list[_Expected]:
    if state.left is None:
        return []
    limit = timedelta(minutes=state.habits.away_min)
    expected = [_Expected("no_return", state.left, _after(state.left, limit, state, home))]
    unusual = state.habits.exit_share < RARE_EXITS
    if unusual and _night(state.left, home, NIGHT) is not None:
        expected.append(_Expected("wandering", state.left, _after(state.left, NIGHT_DOOR, state, home)))
    return expected


def _of_present(state: State, home: Home) -> list[_Expected]:
    if state.left is not None:
        return []
    begins = state.last
    at = limits.due(state.habits.limits, begins, home.zone)
    for begin, end in _planned(state, home):
        if begin <= at and end > begins:
            begins = end
            at = limits.due(state.habits.limits, begins, home.zone)
    return [_Expected("inactivity", state.last, at)]


def _of_sleeper(state: State, home: Home) -> list[_Expected]:
    """Return until when somebody has to leave the bed."""
    if state.in_bed is None:
        return []
    limit = CAP
    if state.habits.up_by_min is not None:
        minute = local_minutes(state.in_bed, home.zone) % DAY_MIN
        until = timedelta(minutes=(state.habits.up_by_min - minute) % DAY_MIN)
        limit = until if LAID_DOWN <= until < CAP else CAP
    return [_Expected("not_up", state.in_bed, _after(state.in_bed, limit, state, home))]


def _after(begins: datetime, limit: timedelta, state: State, home: Home) -> datetime:
    """Return when a limit has passed, planned absences left out."""
    for begin, end in _planned(state, home):
        if begin <= begins + limit and end > begins:
            begins = end
    return begins + limit


def _told(state: State, one: _Expected, now: datetime, home: Home, heard: datetime | None) -> Finding:
    """Make a finding of what did not happen, in words."""
    since = words.clock(one.since, home.zone)
    length = now - one.since
    kind = one.kind
    if kind == "inactivity" and (heard is None or now - heard > HEARD):
        kind, sentence = "sensors_silent", words.unheard(since)
    elif kind == "inactivity":
        sentence = words.beside(
            _silent(state, now, home), [one.kind for one in state.sensors.values() if one.told]
        )
    elif kind == "no_return":
        sentence = words.not_returned(since, words.hours(length), state.habits.limits.days)
    elif kind == "wandering":
        sentence = words.wandering(since)
    else:
        sentence = words.not_up(since, _usually_up(state))
    return Finding(kind, one.since, one.due, limits.score(length, max(one.due - one.since, TRIP)), sentence)


def _silent(state: State, now: datetime, home: Home) -> Sentence:
    """Say what is missed: the rise, where the silence began in the night before, or else any sign."""
    known = state.habits
    limit = words.hours(limits.usual(known.limits, now, home.zone))
    day = local_minutes(now, home.zone) // DAY_MIN * DAY_MIN
    rise = None if known.up_min is None else day + known.up_min
    missed = rise is not None and local_minutes(state.last, home.zone) < rise - 60 <= rise
    began = local_minutes(state.last, home.zone) < day + 5 * 60
    up = _usually_up(state) if missed and began else None
    return words.silent(words.clock(state.last, home.zone), limit, up, known.limits.days)


def _usually_up(state: State) -> str | None:
    up = state.habits.up_min
    return None if up is None else words.minute(up)
