"""Days of an invented resident, for the tests of the watch over routines."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import settings

from processors.routines.watch import Home, Outcome, Seen, State, learn, look, step

ZONE = ZoneInfo("Asia/Shanghai")
HOME = Home(ZONE)
PATIENT = settings(deadline=None, derandomize=True)
FIRST = datetime(2026, 3, 1, tzinfo=ZONE)


def at(day: int, hour: float = 0.0) -> datetime:
    return FIRST + timedelta(days=day, hours=hour)


def day(number: int, *, up: float = 7.5, bed: float = 22.0, every: float = 0.75) -> list[Seen]:
    """Return a day with signs from rising to going to bed."""
    count = int((bed - up) / every)
    return [Seen(at(number, up + every * n), "motion") for n in range(count)] + [
        Seen(at(number, bed), "motion")
    ]


def month(days: int = 40) -> list[Seen]:
    """Return days that differ a little, so that there is something to learn."""
    return [seen for n in range(days) for seen in day(n, up=7.0 + (n % 4) * 0.25, bed=22.0 + (n % 3) * 0.25)]


def lived(signs: list[Seen], home: Home = HOME) -> State:
    """Return the state after signs, learned from as in service; what is found on the way is dropped."""
    state, history = None, None
    for seen in signs:
        outcome: Outcome = step(state, seen, home)
        state = outcome.state
        if outcome.ended:
            state, history = learn(state, history, [outcome.ended], seen.at, home)
    assert state is not None
    return state


def found(state: State, now: datetime, home: Home = HOME, heard: datetime | None = None) -> list[str]:
    return [one.kind for one in look(state, now, home, heard or now).findings]
