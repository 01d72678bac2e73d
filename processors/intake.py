"""What is done with a batch, in the one transaction that `processors.pipeline` opens for it.

Three kinds of topics, three handlers: events (store, decide, raise), states and births
(keep), dead letters (keep; one of the alarm lane is raised).  What each returns, receipts and
counts, holds when, and only when, the transaction has committed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram

from processors import homes
from processors.arrivals import Sorted, dead_of, letter_id, ordinal_of, sort
from processors.decide import (
    FALLS,
    Decisions,
    alert_of,
    decide,
    episode_of,
    needs_episode,
    places_of,
    shows_activity,
)
from processors.fusion import Episode
from vigil import events, topics
from vigil.events import Birth, DeviceHealth, FallSuspected, NodeState, Reply, Shed, Tombstone, derived_id
from vigil.receipts import StoredReceipt
from vigil.store import alerts, conditions, configs, detections, intake, nodes
from vigil.store.conditions import Said
from vigil.store.detections import Detection
from vigil.store.intake import Dead, ShedRange
from vigil.store.registry import refresh
from vigil.topics import Kind, Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from aiokafka import ConsumerRecord

    from processors.arrivals import Arrival
    from processors.decide import Judged
    from processors.scoring import Scorer
    from vigil.errors import Rejected
    from vigil.events import LaneEnd
    from vigil.registry import Node, Registry
    from vigil.store.intake import Accounting, Key, Watermark
    from vigil.store.pool import Connection

    Records: TypeAlias = Sequence[ConsumerRecord[Any, Any]]


stored = Counter("vigil_events_stored_total", "New events stored.", ["lane"])
duplicates = Counter("vigil_events_duplicate_total", "Events that were stored already.", ["lane"])
withheld = Counter(
    "vigil_events_withheld_total", "Events without consent: counted, content dropped.", ["purpose"]
)
dead = Counter("vigil_events_dead_total", "Dead letters stored.", ["reason"])
implausible = Counter("vigil_events_implausible_total", "Events whose time cannot be.")
age = Histogram(
    "vigil_event_age_seconds",
    "From when an event happened to when it was decided on.",
    ["lane"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
modes = Gauge(
    "vigil_detector_estates",
    "Estates in which a detector alerts, stands in for a version that is gone, or is in shadow.",
    ["detector", "mode"],
)
_TABLE_OF: Final = {
    Lane.ALARM: "event",
    Lane.EVENT: "event",
    Lane.TELEMETRY: "telemetry",
    Lane.HEALTH: "health",
}
_log = structlog.get_logger(__name__)


def _nothing() -> None:
    """Count nothing."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a batch, for when its transaction has committed.

    Attributes:
        receipts: To be given to the edges.
        count: Raises the counters; a transaction that failed, or was fenced off, has done nothing
            that could be counted.
    """

    receipts: list[StoredReceipt] = field(default_factory=list)
    count: Callable[[], None] = _nothing


class Handler(Protocol):
    """What is done with the records of some topics, inside a transaction."""

    async def handle(self, connection: Connection, records: Records, now: datetime) -> Taken:
        """Take a batch in."""

    async def bury(
        self,
        why: Rejected,
        connection: Connection,
        records: Records,
        now: datetime,
    ) -> Taken:
        """Put records aside that could not be taken in, as dead letters."""


class EventHandler:
    """Stores events, decides on the new ones, and records what was decided."""

    def __init__(self, registry: Registry, scorer: Scorer) -> None:
        self._registry = registry
        self._scorer = scorer
        self._watched: frozenset[str] = frozenset()
        self._refreshing = asyncio.Lock()

    async def handle(self, connection: Connection, records: Records, now: datetime) -> Taken:
        """Take a batch of events in.

        The models are asked while the database stores: they run in a thread, and both only wait.
        """
        await self._refresh(connection)
        arrived = sort(records, self._registry, now)
        accounting = await intake.account(connection, arrived.accounted, now)
        batch = await _undecided(connection, arrived, accounting)
        scoring = asyncio.create_task(self._scorer.score(_each_once(batch.arrivals)), name="scoring")
        try:
            new = await self._store(connection, batch)
            scores = await scoring
        finally:
            scoring.cancel()
        fresh = [a for a in _each_once(batch.arrivals) if a.envelope.id in new]
        await intake.take_back(connection, _again(fresh, accounting), now)
        await conditions.note(connection, _said(fresh))
        told = await homes.take_in(connection, self._registry, fresh, now)
        await self._decide(connection, fresh, scores, now)
        await homes.tell(connection, told, now)
        await _raise_dead(connection, self._registry, batch.dead, new, now)
        watermarks = accounting.watermarks + await _give_up(connection, fresh, now)
        return Taken(_receipts(watermarks, self._registry), partial(_count, arrived, fresh, new, now))

    async def bury(
        self,
        why: Rejected,
        connection: Connection,
        records: Records,
        now: datetime,
    ) -> Taken:
        """Put events aside that could not be taken in."""
        return await _keep_dead(connection, self._registry, [dead_of(record, why) for record in records], now)

    async def _refresh(self, connection: Connection) -> None:
        """Bring the registry up to date; one at a time, so that nobody's older look overwrites a newer one."""
        async with self._refreshing:
            if await refresh(connection, self._registry):
                self._watched = self._registry.zones_with("camera")
                _show_modes(self._registry, self._scorer.versions)

    async def _store(self, connection: Connection, batch: Sorted) -> set[UUID]:
        """Store everything in its table, and return the ids of what is new."""
        rows = defaultdict(list)
        for arrival in batch.arrivals:
            rows[_TABLE_OF[arrival.envelope.lane] if arrival.plausible else "implausible"].append(
                arrival.row()
            )
        new = await intake.insert_implausible(connection, rows.pop("implausible", []))
        for table, some in rows.items():
            new |= await intake.insert_events(connection, table, some)
        new |= await intake.insert_withheld(connection, batch.withheld)
        return new | await intake.insert_dead(connection, batch.dead)

    async def _decide(
        self, connection: Connection, fresh: list[Arrival], scores: Mapping[UUID, Judged], now: datetime
    ) -> None:
        names = {episode_of(arrival) for arrival in fresh if needs_episode(arrival)}
        active = {episode_of(arrival) for arrival in fresh if shows_activity(arrival)}
        names |= await detections.waiting(connection, FALLS, active - names)
        names |= {place for arrival in fresh for place in places_of(arrival, self._watched)}
        fallen = {episode_of(arrival) for arrival in fresh if isinstance(arrival.data, FallSuspected)}
        abed = await homes.in_bed(connection, fallen)
        known = await detections.load_states(connection, FALLS, names)
        episodes = {name: msgspec.convert(state, Episode) for name, state in known.items()}
        made = decide(fresh, scores, episodes, now, self._registry.modes, self._watched, abed)
        await record(connection, made, now)


def _said(fresh: Iterable[Arrival]) -> Iterator[Said]:
    """Yield what devices say of themselves; a time that cannot be says nothing of now."""
    for a in fresh:
        if isinstance(a.data, DeviceHealth) and a.plausible:
            data = msgspec.to_builtins(a.data)
            yield Said(a.envelope.subject, a.node.id, a.envelope.time, a.received_at, a.envelope.clock, data)


def _show_modes(registry: Registry, versions: Mapping[str, Sequence[str]]) -> None:
    """Count the estates in which each detector alerts, stands in for a version that is gone, or only watches."""
    places = {(node.community, node.estate) for node in registry.nodes.values()}
    for detector, there in versions.items():
        found = [registry.modes.live(detector, there, *place) for place in places]
        shadow, standing_in = found.count(None), sum(live is not None and live.stands_in for live in found)
        modes.labels(detector, "shadow").set(shadow)
        modes.labels(detector, "standing_in").set(standing_in)
        modes.labels(detector, "alert").set(len(found) - shadow - standing_in)


def _each_once(arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Return each event once: a batch may hold its own duplicates."""
    return list({a.envelope.id: a for a in arrivals}.values())


async def record(connection: Connection, made: Decisions, now: datetime) -> None:
    """Record what was decided, in one round trip; alerts last: raising them is serialised until the commit."""
    async with connection.pipeline():
        await detections.insert_detections(connection, made.detections)
        await detections.save_states(connection, FALLS, made.episodes, now)
        await detections.set_deadlines(connection, FALLS, made.waits)
        await alerts.raise_all(connection, made.alerts, now)


async def _undecided(connection: Connection, batch: Sorted, accounting: Accounting) -> Sorted:
    """Leave out what has been decided before: each sequence number ends as exactly one thing.

    Consent may have changed since, or the registry; what was stored stays stored (even if its row
    has been deleted in time), and what was withheld stays withheld.
    """
    again = _again(batch.arrivals, accounting)
    ended = {id_ for _, _, id_ in again} - await intake.given_up(connection, again)
    return Sorted(
        [a for a in batch.arrivals if a.envelope.id not in ended],
        [w for w in batch.withheld if not accounting.had((w.node, w.boot, w.lane), w.seq)],
        undecided_dead(batch.dead, accounting),
        batch.accounted,
    )


def undecided_dead(letters: Iterable[Dead], accounting: Accounting) -> list[Dead]:
    """Leave out the dead letters of sequence numbers that were accounted for before."""
    return [letter for letter in letters if letter.seq is None or not accounting.had(letter.key, letter.seq)]


def _again(arrivals: Iterable[Arrival], accounting: Accounting) -> list[tuple[Key, int, UUID]]:
    """Return key, number and id of the events that were accounted for before."""
    if not accounting.before:
        return []
    return [(a.key, a.envelope.seq, a.envelope.id) for a in arrivals if accounting.had(a.key, a.envelope.seq)]


async def _give_up(connection: Connection, fresh: Iterable[Arrival], now: datetime) -> list[Watermark]:
    """Store what edges say they have given up, unless it has arrived all the same."""
    sheds = [shed_range(a.node.id, a.data) for a in fresh if isinstance(a.data, Shed)]
    stones = [tombstone(a, a.data) for a in fresh if isinstance(a.data, Tombstone)]
    if not sheds and not stones:
        return []
    ranges = _dead_ranges(stones)
    for shed in sheds:
        ranges[shed.node, shed.boot, shed.lane].append((shed.first, shed.last))
    accounting = await intake.account(connection, ranges, now)
    await intake.insert_shed(connection, sheds, accounting.before)
    await intake.insert_dead(connection, undecided_dead(stones, accounting))
    return accounting.watermarks


def shed_range(node: str, shed: Shed) -> ShedRange:
    """Return the sequence numbers that an edge has given up."""
    return ShedRange(node, shed.of_boot, shed.of_lane, shed.first, shed.last, shed.reason)


def tombstone(arrival: Arrival, stone: Tombstone) -> Dead:
    """Return the dead letter of an event that its edge has set aside, having sent it in vain."""
    return Dead(
        id=events.event_id(arrival.node.id, stone.of_boot, stone.of_lane, stone.of_seq),
        reason="tombstone",
        detail=f"sent {stone.sent} times and never stored; the edge has set it aside",
        origin=arrival.envelope.source,
        payload=b"",
        node=arrival.node.id,
        boot=stone.of_boot,
        lane=stone.of_lane,
        seq=stone.of_seq,
        at=arrival.received_at,
    )


def _receipts(watermarks: Iterable[Watermark], registry: Registry) -> list[StoredReceipt]:
    receipts = []
    for mark in watermarks:
        node = registry.nodes.get(mark.node)
        if node is not None:
            receipts.append(
                StoredReceipt(
                    community=node.community,
                    estate=node.estate,
                    node=node.id,
                    boot=mark.boot,
                    lane=Lane(mark.lane),
                    stored=mark.stored,
                ),
            )
    return receipts


def _count(batch: Sorted, fresh: Sequence[Arrival], new: set[UUID], now: datetime) -> None:
    for arrival in fresh:
        age.labels(arrival.envelope.lane).observe(max((now - arrival.happened).total_seconds(), 0))
    implausible.inc(sum(not arrival.plausible for arrival in fresh))
    _add(stored, [arrival.envelope.lane for arrival in fresh])
    _add(duplicates, [a.envelope.lane for a in batch.arrivals if a.envelope.id not in new])
    _add(
        withheld,
        [gone.purpose for gone in {gone.id: gone for gone in batch.withheld}.values() if gone.id in new],
    )
    _count_dead(batch.dead, new)


def _count_dead(letters: Iterable[Dead], new: set[UUID]) -> None:
    _add(
        dead,
        [letter.reason for letter in {letter.id: letter for letter in letters}.values() if letter.id in new],
    )


def _add(counter: Counter, labels: Sequence[str]) -> None:
    """Add how often each label occurs: there are few labels, and many events."""
    for label in set(labels):
        counter.labels(label).inc(labels.count(label))


class DeadHandler:
    """Keeps dead letters; one that came by the alarm lane is raised for its node's zone."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def handle(self, connection: Connection, records: Records, now: datetime) -> Taken:
        """Take a batch of dead letters in."""
        await refresh(connection, self._registry)
        return await _keep_dead(connection, self._registry, [_letter(record) for record in records], now)

    async def bury(
        self,
        why: Rejected,
        connection: Connection,
        records: Records,
        now: datetime,
    ) -> Taken:
        """Keep what remains of a dead letter that cannot even be kept as one."""
        return await _keep_dead(
            connection, self._registry, [_remains(record, why) for record in records], now
        )


def _remains(record: ConsumerRecord[Any, Any], why: Rejected) -> Dead:
    origin = f"{record.topic}/{record.partition}/{record.offset}"
    at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    payload = record.value or b""
    return Dead(
        letter_id(origin, payload), why.reason, why.detail, origin, payload, None, None, None, None, at
    )


async def _keep_dead(
    connection: Connection,
    registry: Registry,
    letters: Sequence[Dead],
    now: datetime,
) -> Taken:
    """Store dead letters, raise those that may have been an alarm, account for their numbers."""
    accounting = await intake.account(connection, _dead_ranges(letters), now)
    letters = undecided_dead(letters, accounting)
    new = await intake.insert_dead(connection, letters)
    await _raise_dead(connection, registry, letters, new, now)
    return Taken(_receipts(accounting.watermarks, registry), partial(_count_dead, letters, new))


def _dead_ranges(gone: Iterable[Dead]) -> dict[Key, list[tuple[int, int]]]:
    ranges: dict[Key, list[tuple[int, int]]] = defaultdict(list)
    for one in gone:
        if one.seq is not None:
            ranges[one.key].append((one.seq, one.seq))
    return ranges


def _letter(record: ConsumerRecord[Any, Any]) -> Dead:
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    origin = headers.get("origin", f"{record.topic}/{record.partition}")
    node, boot, lane = headers.get("node"), headers.get("boot"), headers.get("lane")
    seq = int(headers["seq"]) if "seq" in headers else None
    id_ = letter_id(origin, record.value or b"")
    if node and boot and lane and seq:
        id_ = events.event_id(node, boot, Lane(lane), seq)
    return Dead(
        id=id_,
        reason=headers.get("reason", "unknown"),
        detail=headers.get("detail", ""),
        origin=origin,
        payload=record.value or b"",
        node=node or _node_of(origin),
        boot=boot,
        lane=lane or _lane_of(origin),
        seq=seq,
        at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
    )


def _node_of(origin: str) -> str | None:
    levels = origin.split("/")
    return levels[4] if origin.startswith(topics.ROOT) and len(levels) > 4 else None


def _lane_of(origin: str) -> str | None:
    levels = origin.split("/")
    return Lane.ALARM if len(levels) > 5 and levels[5] == Kind.ALARM else None


async def _raise_dead(
    connection: Connection,
    registry: Registry,
    letters: Iterable[Dead],
    new: set[UUID],
    now: datetime,
) -> None:
    """Raise new dead letters of the alarm lane: something that may have been a fall was unreadable."""
    found = []
    for letter in letters:
        node = registry.nodes.get(letter.node or "")
        if letter.lane == Lane.ALARM and letter.id in new and node is not None:
            found.append(_unreadable(letter, node, now))
    await detections.insert_detections(connection, found)
    await alerts.raise_alerts(connection, [alert_of(one, UNREADABLE) for one in found], now)


def _unreadable(letter: Dead, node: Node, now: datetime) -> Detection:
    return Detection(
        id=derived_id("detection", "unreadable", letter.id),
        event=letter.id,
        time=letter.at,
        kind="unreadable_alarm",
        subject=f"zone:{node.zone}" if node.zone else f"node:{node.id}",
        resident=None,
        zone=node.zone,
        estate=node.estate,
        device=node.id,
        score=1.0,
        model="rule",
        model_version="1",
        explanation=UNREADABLE,
        synthetic=None,
        made_at=now,
    )


UNREADABLE: Final = {
    "en": "An alarm arrived that could not be read; go and see",
    "zh": "收到无法识别的警报，请前往查看",
}


class StateHandler:
    """Keeps what nodes say of themselves: online or not, births, replies."""

    async def handle(self, connection: Connection, records: Records, now: datetime) -> Taken:
        """Take a batch of states, births and replies in."""
        states: list[tuple[str, NodeState]] = []
        births: dict[tuple[str, str], Birth] = {}
        given: dict[Key, int] = {}
        ended: set[Key] = set()
        replies: list[tuple[str, Reply]] = []
        for record in records:
            topic = topics.parse(dict(record.headers)["topic"].decode())
            node = topic.address.node
            if topic.kind is Kind.STATE:
                states.append((node, msgspec.json.decode(record.value, type=NodeState)))
            elif topic.kind is Kind.BIRTH and topic.device is not None:
                births[node, topic.device] = birth = msgspec.json.decode(record.value, type=Birth)
                _raise_to(given, {(node, end.boot, str(end.lane)): end.seq for end in birth.lanes})
                ended |= {(node, end.boot, str(end.lane)) for end in _of_earlier_boots(birth)}
            else:
                replies.append((node, msgspec.json.decode(record.value, type=Reply)))
        await nodes.note_states(connection, states, now)
        await nodes.note_births(connection, births, now)
        await configs.note_replies(connection, replies, now)
        await intake.note_given(connection, given, ended, now)  # once, sorted: all lock in one order
        return Taken()

    async def bury(
        self,
        why: Rejected,
        connection: Connection,
        records: Records,
        _now: datetime,
    ) -> Taken:
        """Put states and births aside that could not be kept."""
        letters = [_remains(record, why) for record in records]
        return Taken(count=partial(_count_dead, letters, await intake.insert_dead(connection, letters)))


def _of_earlier_boots(birth: Birth) -> list[LaneEnd]:
    """Return where boots ended that are over: a box gives out numbers of its present boot alone."""
    present = max((ordinal_of(end.boot) for end in birth.lanes), default=0)
    return [end for end in birth.lanes if ordinal_of(end.boot) < present]


def _raise_to(highest: dict[Key, int], numbers: Mapping[Key, int]) -> None:
    for key, number in numbers.items():
        highest[key] = max(highest.get(key, 0), number)
