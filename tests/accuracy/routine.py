"""Measure the watch over broken routines on the logs of homes.

    python tests/accuracy/routine.py DIR                    a month of learning, as in service
    python tests/accuracy/routine.py DIR --warmup-days 7    for logs of two to four weeks

DIR holds one `<home>.csv` a home with the columns time, sensor, state, and beside it perhaps
`away.csv` or `<home>_away.csv` with start, end: when nobody was at home, as a presence sensor or
the front door would have told.  The logs of van Kasteren and MIT (`house?.sensors`) and of Ordonez
(`Ordonez?_Sensors.txt`) are converted as they are read, their labels for leaving the house too.

Place in the flow: the very functions that the platform runs, `processors.routines.watch`, see the
log in its order; `make accuracy` calls it.

Protocol: the first days are learned from, then the limits are fitted anew every week on the past
only.  False alarms are all findings of a missing sign (`inactivity`, `no_return`, `wandering`,
`not_up`) on the untouched log after the warm-up, for every one of these people was well.  For the
delay the log is stopped at random times (seeded) at which somebody is at home, and the time until
the first finding counts; a stop within a silence that has been found already is drawn anew.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import bisect
import csv
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

# Run as a script from anywhere, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from edge.sources.home_log import changes, kind_of, names
from processors.routines.watch import OUT_AFTER, Home, Seen, State, learn, look, step, wake

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from processors.routines.history import History

    Spans = list[tuple[datetime, datetime]]

STOPS: Final = 500
"""Stops injected in each home."""
ON: Final = frozenset({"on", "open", "opened", "1", "1.0", "true", "present", "start", "pressed"})
OFF: Final = frozenset({"off", "close", "closed", "0", "0.0", "false", "absent", "end", "released"})
OUTER: Final = ("front", "main", "foyer", "entrance")
LEFT: Final = ("leav", "going-out")
"""How the labels of the known logs say that somebody leaves."""


@dataclass(frozen=True, slots=True)
class Log:
    """The log of one home, in order of time; times are the home's own, taken for UTC."""

    name: str
    seen: list[Seen]
    away: Spans


@dataclass(frozen=True, slots=True)
class Result:
    """What the watch made of a log."""

    log: Log
    days: float
    found: list[tuple[str, datetime]]
    delays_h: list[float]


def read(folder: Path) -> list[Log]:
    """Read every home of a folder.

    Raises:
        FileNotFoundError: There is none.
    """
    logs = [
        *(_kasteren(path) for path in sorted(folder.glob("*.sensors"))),
        *(_ordonez(path) for path in sorted(folder.glob("*_Sensors.txt"))),
        *(_plain(path) for path in sorted(folder.glob("*.csv")) if not path.stem.endswith("away")),
    ]
    if not logs:
        raise FileNotFoundError(f"{folder} holds no log: <home>.csv, house?.sensors or Ordonez?_Sensors.txt")
    return logs


def seen_of(sensor: str, at: datetime, *, on: bool) -> Seen:
    """Return a change of a sensor that is known by its name alone."""
    low = sensor.lower()
    outer = "door" in low and any(word in low for word in OUTER)
    return Seen(at, kind_of(sensor), on, outer, sensor)


def _plain(path: Path) -> Log:
    seen = []
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            state = row["state"].strip().lower()
            if state in ON | OFF:  # a thermometer's reading is nobody's sign
                seen.append(seen_of(row["sensor"], _time(row["time"]), on=state in ON))
    own, shared = path.with_name(f"{path.stem}_away.csv"), path.with_name("away.csv")
    return Log(path.stem, _ordered(seen), _away(own if own.exists() else shared))


def _away(path: Path) -> Spans:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as lines:
        return [(_time(row["start"]), _time(row["end"])) for row in csv.DictReader(lines)]


def _time(text: str) -> datetime:
    """Read a time: ISO 8601, with the home's own offset or none, or seconds since 1970."""
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except ValueError:
        return datetime.fromisoformat(text.strip()).replace(tzinfo=UTC)


def _ordered(seen: list[Seen]) -> list[Seen]:
    return sorted(seen, key=lambda one: one.at)


def _kasteren(path: Path) -> Log:
    called = names(path)
    seen = [
        seen_of(called.get(change.sensor, str(change.sensor)), _epoch(change.at), on=change.on)
        for change in changes(path)
    ]
    labels = dict(
        line.split("\t")[:2]
        for line in path.with_suffix(".activity_names").read_text(encoding="utf-8").splitlines()
        if line
    )
    rows = [line.split() for line in path.with_suffix(".activities").read_text(encoding="utf-8").splitlines()]
    left = [row for row in rows if row and any(word in labels[row[2]].lower() for word in LEFT)]
    away = [(_epoch(float(row[0])), _epoch(float(row[0]) + float(row[1]))) for row in left]
    return Log(path.stem, _ordered(seen), away)


def _epoch(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _ordonez(path: Path) -> Log:
    spans = _table(path)
    seen = [
        seen_of(name, at, on=at == begin) for begin, end, name in spans for at in dict.fromkeys((begin, end))
    ]
    labels = path.with_name(path.name.replace("_Sensors", "_ADLs"))
    away = [(begin, end) for begin, end, name in _table(labels) if name.lower().startswith("leav")]
    return Log(path.stem.removesuffix("_Sensors"), _ordered(seen), away)


def _table(path: Path) -> list[tuple[datetime, datetime, str]]:
    """Read a file of Ordonez: a heading of two lines, then start, end and what it was."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines()[2:]:
        words = line.split()
        if len(words) >= 5:
            begin, end = (" ".join(words[at : at + 2]) for at in (0, 2))
            found.append((_time(begin), _time(end), " ".join(words[4:])))
    return found


def measure(log: Log, warmup: timedelta, seed: int) -> Result:
    """Watch a home, and stop it at random."""
    begins = log.seen[0].at + warmup
    states, found = _watched(log, warmup)
    days = (log.seen[-1].at - begins) / timedelta(days=1)
    if days <= 0:
        raise ValueError(f"{log.name} is not longer than its warm-up")
    after = [one for one in found if one[1] >= begins]
    return Result(log, days, after, list(_delays(log, states, begins, seed)))


def _watched(log: Log, warmup: timedelta) -> tuple[list[State], list[tuple[str, datetime]]]:
    """Return the state after each change, and what was found and when."""
    state: State | None = None
    history: History | None = None
    states: list[State] = []
    found: list[tuple[str, datetime]] = []
    for seen in log.seen:
        home = _home(log.away, seen.at)
        while state and state.wake_at and state.wake_at <= seen.at:
            looked = look(state, state.wake_at, home, state.wake_at)
            found += [(one.kind, one.due) for one in looked.findings]
            state = looked.state
        outcome = step(state, seen, home)
        state = outcome.state
        if outcome.ended:
            state, history = learn(state, history, [outcome.ended], seen.at, home, warmup)
        states.append(state)
    return states, found


def _home(away: Spans, at: datetime) -> Home:
    """Return what is known of presence about a time; the rest would only be gone through in vain."""
    near = timedelta(days=2)
    spans = tuple(span for span in away if span[0] < at + near and span[1] > at - near)
    return Home(UTC, spans, early=False)


def _delays(log: Log, states: Sequence[State], begins: datetime, seed: int) -> Iterator[float]:
    """Stop the log at random times at which somebody is at home; return hours until found."""
    times = [one.at for one in log.seen]
    length = (times[-1] - begins) / timedelta(seconds=1)
    rng = np.random.default_rng(seed)
    drawn = 0
    while drawn < STOPS:
        stop = begins + timedelta(seconds=float(rng.uniform(0, length)))
        place = bisect.bisect_right(times, stop) - 1
        if place + 1 >= len(times) or _out(log, place, stop):
            continue
        # Nobody leaves any more after the stop: only what had ended by then was an absence.
        past = tuple(span for span in _home(log.away, stop).planned if span[1] <= stop)
        due = wake(states[place], Home(UTC, past))
        if due is not None and due >= stop:
            drawn += 1
            yield (due - stop) / timedelta(hours=1)


def _out(log: Log, place: int, stop: datetime) -> bool:
    gone = log.seen[place].exit and log.seen[place + 1].at - log.seen[place].at >= OUT_AFTER
    return gone or any(begin <= stop < end for begin, end in log.away)


def figures(results: Sequence[Result]) -> dict[str, float]:
    """Return the figures of the last line, over all homes."""
    delays = np.concatenate([result.delays_h for result in results])
    false = sum(len(result.found) for result in results)
    return {
        "false_alarms_per_day": round(false / sum(result.days for result in results), 4),
        "mean_delay_h": round(float(delays.mean()), 3),
        "p90_delay_h": round(float(np.percentile(delays, 90)), 3),
        "n": len(delays),
    }


def table(results: Sequence[Result]) -> None:
    """Print a line a home."""
    print(
        f"{'home':10} {'days':>6} {'signs/day':>9} {'found':>6} {'a day':>7} {'mean h':>7} {'p90 h':>6}  kinds"
    )
    for one in results:
        span = (one.log.seen[-1].at - one.log.seen[0].at) / timedelta(days=1)
        kinds = [kind for kind, _ in one.found]
        counted = ", ".join(f"{kind} {kinds.count(kind)}" for kind in dict.fromkeys(kinds))
        print(
            f"{one.log.name:10} {one.days:6.1f} {len(one.log.seen) / span:9.0f} {len(one.found):6} "
            f"{len(one.found) / one.days:7.3f} {np.mean(one.delays_h):7.2f} "
            f"{np.percentile(one.delays_h, 90):6.2f}  {counted}"
        )


def longest_gaps(log: Log, count: int = 3) -> list[str]:
    """Return the longest silences of a log that no absence explains: what a false alarm may be."""
    pairs = [
        (later.at - sooner.at, sooner.at)
        for sooner, later in pairwise(log.seen)
        if not any(begin < later.at and end > sooner.at for begin, end in log.away)
    ]
    return [f"{length / timedelta(hours=1):.1f} h" for length, _ in sorted(pairs, reverse=True)[:count]]


def main(argv: Sequence[str]) -> dict[str, float]:
    """Measure as the command line says, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--warmup-days", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args(argv)
    warmup = timedelta(days=wanted.warmup_days)
    results = [measure(log, warmup, wanted.seed) for log in read(wanted.folder)]
    table(results)
    for one in results:
        print(f"{one.log.name}: longest silences that nobody explained: {', '.join(longest_gaps(one.log))}")
    last = figures(results)
    print(json.dumps(last))
    return last


if __name__ == "__main__":
    main(sys.argv[1:])
