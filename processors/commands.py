"""What people do about detectors at a terminal: `python -m processors detectors|allow|shadow|missed`.

Neighbours: `vigil.store.detectors` keeps what is said here; `/api/v1/detectors` and `/api/v1/misses`
do the same for who has signed in.  At a terminal nobody has signed in, so who speaks is named.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from processors import loading
from processors.fusion import ALERT, REVIEW
from vigil.modes import DETECTORS
from vigil.store import detectors
from vigil.store.board import Scope
from vigil.store.detectors import KINDS, NewMiss, NewWord
from vigil.store.effect import Stretch
from vigil.store.pool import ProcessRole, open_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.settings import DatabaseSettings
    from vigil.store.pool import Connection

COMMANDS: Final = ("detectors", "allow", "shadow", "missed")
EVERYBODY: Final = Scope(None)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; a time without an offset is UTC."""
    parser = argparse.ArgumentParser(prog="processors", description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("detectors", help="who may alert, and what came of it")
    listing.add_argument("--days", type=float, default=28.0)
    listing.add_argument("--synthetic", choices=("demo", "drill"), help="instead of real ones")
    for name, what in (("allow", "let a version alert"), ("shadow", "let it only record")):
        word = commands.add_parser(name, help=what)
        word.add_argument("detector", choices=DETECTORS)
        word.add_argument("version")
        _signed(word, "--reason")
        place = word.add_mutually_exclusive_group()
        place.add_argument("--community")
        place.add_argument("--estate")
        word.add_argument("--review-by", type=_time, help="a reminder; nothing ends by itself then")
    missed = commands.add_parser("missed", help="what happened and was not alerted of")
    missed.add_argument("--kind", choices=KINDS, default=KINDS[0])
    missed.add_argument("--estate", required=True)
    missed.add_argument("--resident")
    missed.add_argument("--zone")
    missed.add_argument("--happened", type=_time, required=True)
    missed.add_argument("--found", type=_time, required=True)
    missed.add_argument(
        "--how", choices=("family", "neighbour", "visit", "resident", "ambulance", "other"), required=True
    )
    _signed(missed, "--note")
    return parser.parse_args(argv)


def _signed(parser: argparse.ArgumentParser, why: str) -> None:
    parser.add_argument("--by", required=True, metavar="NAME", help="who says so")
    parser.add_argument(why, required=True)


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


async def run(wanted: argparse.Namespace, settings: DatabaseSettings, now: datetime) -> list[str]:
    """Do what was asked for.

    Returns:
        Lines for people.

    Raises:
        VigilError: What was asked cannot be; it says why.
    """
    async with (
        open_pool(settings.database_dsn, "detectors", 1, role=ProcessRole.PROCESSORS) as pool,
        pool.transaction() as connection,
    ):
        if wanted.command == "detectors":
            return await _listed(connection, wanted, now)
        if wanted.command == "missed":
            return [await _missed(connection, wanted, now)]
        return [await _spoken(connection, wanted, now)]


async def _spoken(connection: Connection, wanted: argparse.Namespace, now: datetime) -> str:
    word = NewWord(
        detector=wanted.detector,
        version=wanted.version,
        mode="alert" if wanted.command == "allow" else "shadow",
        actor=f"terminal:{wanted.by}",
        reason=wanted.reason,
        community=wanted.community,
        estate=wanted.estate,
        review_by=wanted.review_by,
    )
    await detectors.speak(connection, word, now)
    where = wanted.estate or wanted.community or "everywhere"
    return f"{word.detector} {word.version}: {word.mode}, {where}"


async def _missed(connection: Connection, wanted: argparse.Namespace, now: datetime) -> str:
    new = NewMiss(
        id=uuid4(),
        kind=wanted.kind,
        estate=wanted.estate,
        resident=wanted.resident,
        zone=wanted.zone,
        happened_at=wanted.happened,
        found_at=wanted.found,
        how_found=wanted.how,
        note=wanted.note,
        reported_by=f"terminal:{wanted.by}",
    )
    made = await detectors.report_miss(connection, new, now)
    score = "" if made.score is None else f", score {made.score:.2f}"
    return f"on record as {made.id}; what the platform knew: {made.cause}{score}"


async def _listed(connection: Connection, wanted: argparse.Namespace, now: datetime) -> list[str]:
    stretch = Stretch(now - timedelta(days=wanted.days), now, synthetic=wanted.synthetic)
    said = [one for one in await detectors.words(connection) if one.current]
    lines = ["packaged:", *(f"  {name} {version}" for name, version in loading.packaged_versions().items())]
    lines.append("what people said:")
    for one in said:
        where = one.estate or one.community or "everywhere"
        due = " (review is due)" if one.review_by and one.review_by < now else ""
        lines.append(f"  {one.detector} {one.version} {one.mode} {where}: {one.reason} ({one.actor}){due}")
    lines.append(f"versions, on what they were shown in {wanted.days:g} days:")
    for seen in await detectors.compare(connection, stretch, EVERYBODY, REVIEW, ALERT):
        mode = "shadow" if seen.shadow else "alert"
        lines.append(
            f"  {seen.model} {seen.version} {mode}: {seen.detections} seen, {seen.review} >= {REVIEW},"
            f" {seen.alert} >= {ALERT}; beside true alerts {seen.true}, false {seen.false},"
            f" true ones it thought little of {seen.silent_true}"
        )
    lines.append("what came of alerts:")
    for kind in await detectors.real_world(connection, stretch, EVERYBODY):
        a_day = kind.false_per_resident_day(wanted.days)
        lines.append(
            f"  {kind.kind}: {kind.alerts} alerts, {kind.true} true, {kind.false} false, {kind.missed} missed;"
            f" precision {_share(kind.precision)}, sensitivity {_share(kind.sensitivity)},"
            f" false per resident-day {'-' if a_day is None else f'{a_day:.4f}'}"
        )
    return lines


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
