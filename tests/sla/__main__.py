"""`make sla`: a simulated month of alerts and people, against the real planner; the last line is JSON.

600 flagged residents; on each shift 2 officers, a supervisor and 6 grid workers.  The planner,
the rota and the order of contacts are the platform's own code; the clock and the people are
simulated, and every figure here is of simulated people.  QUICK=1 simulates three days.

What the rates of alerts rest on is said at each; `FALSE_FALLS_A_WEEK` weighs the most of the critical
ones and is other people's figure, for ours were measured on staged hours.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import random
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from api.burden import FLOOD, PERIOD
from api.escalation.channels import SEND_S
from api.escalation.planner import Course, Facts, Planned, advance, begin, to_people
from api.escalation.policies import DEFAULTS, Channel
from api.escalation.rota import Contact, Load, Person, Rota, Shift, route
from api.escalation.worker import A_SHIFT
from vigil.alerts import UNTAKEN, Priority, State

SEED: Final = 20260301
START: Final = datetime(2026, 3, 1, tzinfo=UTC)
DAYS: Final = 3 if os.environ.get("QUICK") else 30
RESIDENTS: Final = 600
ROUTINES_A_DAY: Final = 0.187
"""False alarms a resident-day that `make accuracy` measures (van Kasteren and MIT, a week of learning)."""
FALLS_A_YEAR: Final = 1.6
"""True falls of a flagged resident, each taken to be found: the top of what studies of older people at
home report, 0.2 to 1.6 a person-year, mean 0.7 (Pynoos, Rose and Rubenstein, Evidence-Based Interventions
in Fall Prevention, 2011, ch. 3); about as many as in a bed of an institution."""
FALSE_FALLS_A_WEEK: Final = 0.43
"""False alarms of falls a resident-week.  `make accuracy` counts them in staged hours, which are all
events and say nothing of a day at home, so this is a published rate of real life: 20 people of 86 years at
high risk, 0.43 with thresholds from staged data, 0.17 once fitted (Scheurer et al., Sensors 19:1357, 2019)."""
FALLS_A_WEEK: Final = FALLS_A_YEAR * 7 / 365.25 + FALSE_FALLS_A_WEEK
RATES: Final = ((Priority.CRITICAL, FALLS_A_WEEK), (Priority.HIGH, 7 * ROUTINES_A_DAY))
"""What is missed of routines is high, as processors raise it; the times below are of critical ones alone."""
CREW: Final = (
    ("officer", "duty_officer", 2),
    ("supervisor", "supervisor", 1),
    ("grid_worker", "grid_worker", 6),
)
SHIFT: Final = timedelta(hours=12)
CREWS: Final = 4
MEDIAN_S: Final = 20.0
SIGMA: Final = 0.8
ASLEEP: Final = 0.10
"""Share of (person, alert) that sleeps through the first two attempts."""
UNREACHABLE: Final = 0.05
GIVE_UP: Final = timedelta(hours=2)
"""An alert that is open for so long counts as unanswered."""


@dataclass
class Sleeper:
    """How one person takes one alert: drawn once."""

    unreachable: bool
    asleep: bool
    attempts: int = 0


@dataclass
class Outcome:
    """What became of the alerts."""

    answered_s: dict[Priority, list[float]] = field(default_factory=lambda: defaultdict(list))
    unanswered: int = 0
    unlabelled: int = 0
    alarms: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def loads(self, now: datetime) -> dict[str, Load]:
        """Say how busy people are; whoever takes an alert is taken to be free again at once."""
        return {account: _load(times, now) for account, times in self.alarms.items()}


def _load(times: list[datetime], now: datetime) -> Load:
    past = [at for at in times[-100:] if now - A_SHIFT < at <= now]
    return Load(0, sum(at > now - PERIOD for at in past), max(past, default=None))


@dataclass(frozen=True)
class World:
    """The rota, and when which channel is down."""

    rota: Rota
    down: dict[int, tuple[Channel, datetime]]

    def is_down(self, channel: Channel, now: datetime) -> bool:
        broken, since = self.down[(now - START).days]
        return channel is broken and since <= now < since + timedelta(hours=1)


def main() -> None:
    """Simulate and print."""
    luck = random.Random(SEED)
    world = World(_rota(), _down(luck))
    times = _alert_times(luck)
    outcome = Outcome()
    for at, priority in times:
        _live_through(at, priority, world, luck, outcome)
    counts = Counter(priority for _, priority in times)
    said = " and ".join(f"{count} {priority}" for priority, count in counts.items())
    high = sorted(outcome.answered_s[Priority.HIGH])
    print(f"{said} alerts in {DAYS} days; people are simulated")
    print(
        f"{FALLS_A_YEAR} true falls a resident-year (literature), {FALSE_FALLS_A_WEEK} false ones a week (published"
    )
    print(
        f"real life, ours is unmeasured), {ROUTINES_A_DAY} findings of routines a day (`make accuracy`), one outage"
    )
    print(
        f"high alerts: p50 {statistics.median(high):.1f} s, p99 {_rank(high, 0.99):.1f} s; below, of critical ones:"
    )
    print(json.dumps(_figures(outcome)))


def _rota() -> Rota:
    people, shifts = [], []
    for crew in range(CREWS):
        for duty, role, count in CREW:
            for n in range(count):
                name = f"{duty}-{crew}-{n}"
                contacts = (Contact(Channel.MESSAGE, "m", START), Contact(Channel.VOICE, "v", START))
                people.append(Person(name, role, frozenset("*"), contacts))
                for day in range(-1, DAYS + 1):
                    if (crew % 2) == (day % 2):
                        begins = START + timedelta(days=day) + SHIFT * (crew // 2)
                        shifts.append(Shift(name, duty, begins, begins + SHIFT))
    return Rota(tuple(people), tuple(shifts))


def _down(luck: random.Random) -> dict[int, tuple[Channel, datetime]]:
    """Draw the channel and the hour that fail on each day."""
    return {
        day: (
            luck.choice((Channel.MESSAGE, Channel.VOICE)),
            START + timedelta(days=day, hours=luck.uniform(0, 23)),
        )
        for day in range(-1, DAYS + 2)
    }


def _alert_times(luck: random.Random) -> list[tuple[datetime, Priority]]:
    """Draw the alerts' times, and one outage, a critical one too: by design one alert, whatever its size."""
    drawn = [(START + timedelta(days=luck.uniform(0, DAYS)), Priority.CRITICAL)]
    for priority, a_week in RATES:
        count = round(RESIDENTS * a_week * DAYS / 7)
        drawn += [(START + timedelta(days=luck.uniform(0, DAYS)), priority) for _ in range(count)]
    return sorted(drawn)


def _live_through(
    at: datetime, priority: Priority, world: World, luck: random.Random, outcome: Outcome
) -> None:
    """Let one alert take its way until somebody has it."""
    people: dict[str, Sleeper] = defaultdict(
        lambda: Sleeper(luck.random() < UNREACHABLE, luck.random() < ASLEEP)
    )
    course: Course | None = begin(DEFAULTS[priority], at)
    state, told, now = State.RAISED, dict[tuple[str, str], datetime](), at
    answers: list[datetime] = []
    while course is not None and state in UNTAKEN and now < at + GIVE_UP:
        if answers and answers[0] <= course.due_at:
            outcome.answered_s[priority].append((answers[0] - at).total_seconds())
            return
        now = course.due_at
        decision = advance(course, Facts(state, at), now)
        for planned in to_people(decision.calls, world.rota, "e1", told, now, outcome.loads(now)):
            if planned.account and planned.channel is not Channel.CONSOLE:
                _tell(planned, planned.account, now, world, luck, people, answers, outcome, told)
        course = decision.course
        state = State.NOTIFYING if state is State.RAISED else state
        if decision.step and decision.step.action == "give_up":
            state = State.UNANSWERED
    outcome.unanswered += 1


def _tell(
    planned: Planned,
    account: str,
    now: datetime,
    world: World,
    luck: random.Random,
    people: dict[str, Sleeper],
    answers: list[datetime],
    outcome: Outcome,
    told: dict[tuple[str, str], datetime],
) -> None:
    """Send a notice over the person's contacts in order, and draw the answer."""
    known = any(account == one for one, _ in told)
    outcome.unlabelled += known and not planned.repeat
    if not known:  # an alarm is an alert that reaches a person; its repeats are none
        outcome.alarms[account].append(now)
    told[account, planned.channel] = now
    person = next(p for p in world.rota.people if p.account == account)
    sent = now
    for contact in route(person, planned.channel):
        if not world.is_down(contact.channel, sent):
            break
        sent += timedelta(seconds=SEND_S)
    else:
        return
    who = people[account]
    who.attempts += 1
    if who.unreachable or (who.asleep and who.attempts <= 2):
        return
    heapq.heappush(answers, sent + timedelta(seconds=luck.lognormvariate(math.log(MEDIAN_S), SIGMA)))


def _figures(outcome: Outcome) -> dict[str, float]:
    times = sorted(outcome.answered_s[Priority.CRITICAL])
    total = len(times) + outcome.unanswered
    loads = Counter(
        (account, (at - START) // PERIOD)
        for account, alarms in outcome.alarms.items()
        for at in alarms
        if account.startswith("officer")
    )
    on_shift = CREW[0][2] * timedelta(days=DAYS) / PERIOD  # one crew at a time
    return {
        "answered_60s": round(100 * sum(t <= 60 for t in times) / total, 2),
        "answered_180s": round(100 * sum(t <= 180 for t in times) / total, 2),
        "p50_s": round(statistics.median(times), 1),
        "p95_s": round(_rank(times, 0.95), 1),
        "p99_s": round(_rank(times, 0.99), 1),
        "unanswered": outcome.unanswered,
        "unlabelled_repeats": outcome.unlabelled,
        "alarms_per_officer_10min_mean": round(loads.total() / on_shift, 3),
        "alarms_per_officer_10min_peak": max(loads.values(), default=0),
        "alarms_per_officer_10min_flood": round(100 * sum(n > FLOOD for n in loads.values()) / on_shift, 3),
        "seed": SEED,
    }


def _rank(ordered: list[float], share: float) -> float:
    """Return the nearest-rank percentile."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


if __name__ == "__main__":
    main()
