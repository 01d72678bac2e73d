"""`/api/v1/effect`: what alarms cost people, and what came of them; the same as metrics.

Neighbours: `vigil.store.effect` counts, `api.burden` computes.  A detector or a device that
fails here is tuned or retired: this is the study's "misplacement", measured.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, Literal
from zoneinfo import ZoneInfo

import structlog
from fastapi import APIRouter, Query
from prometheus_client import Gauge
from pydantic import BaseModel, Field

from api.access import May
from api.auth import SomebodyDep, require
from api.burden import burden, night_wakings, share
from api.escalation.worker import read_rota
from api.fields import Cursor, EstateQuery, Limit, Moment
from api.paging import Page, page, position
from api.problems import RESPONSES
from api.services import Services, ServicesDep
from vigil.errors import Rejected
from vigil.store import effect
from vigil.store.board import Scope
from vigil.store.effect import Stretch

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1/effect", tags=["effect"], responses=RESPONSES)
Since = Annotated[Moment | None, Query(description="A week ago, where it is left out")]
Until = Annotated[Moment | None, Query(description="Now, where it is left out")]
Synthetic = Annotated[Literal["demo", "drill"] | None, Query(description="Instead of real ones")]
WEEK: Final = timedelta(days=7)
LONGEST: Final = timedelta(days=92)
MEASURE_EVERY_S: Final = 60.0
DAY: Final = timedelta(days=1)
_TIME: Final = Gauge(
    "vigil_alert_seconds", "Until alerts of the last 24 h came so far.", ["what", "quantile"]
)
_ALARMS: Final = Gauge("vigil_alarms_per_officer_10min", "Over the last 24 h.", ["figure"])
_PRECISION: Final = Gauge("vigil_detector_precision", "True alerts of those decided, last 24 h.", ["model"])
_COUNTS: Final = Gauge("vigil_alerts_day", "Alerts of the last 24 h.", ["what"])
_log = structlog.get_logger(__name__)


class TimesView(BaseModel):
    """Seconds from being raised; `what` is delivered, acknowledged, attended or resolved."""

    what: Literal["delivered", "acknowledged", "attended", "resolved"]
    alerts: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


class PrecisionView(BaseModel):
    """Of a detector's or a device's alerts that people decided on."""

    name: str = Field(examples=["falls 3"])
    true: int
    false: int
    precision: float | None


class BurdenView(BaseModel):
    """Alarms per officer and 10 minutes on duty; goals: mean <= 1, peak <= 10, flood < 1%."""

    alarms: int
    periods: int
    mean: float | None
    peak: int
    flood_share: float | None


class EffectView(BaseModel):
    """Burden and effect of a stretch of time.

    Attributes:
        night_wakings: Times somebody without duty, or a resident, was called from 22:00 to 06:00.
        false_per_resident_week: False alarms about a resident, per flagged resident and week.
        unanswered: Alerts whose policy ran to its end before anybody answered.
    """

    since: datetime
    until: datetime
    residents: int
    alerts: int
    resolved_true: int
    resolved_false: int
    reopened: int
    unanswered: int
    false_per_resident_week: float | None
    night_wakings: int
    burden: BurdenView
    times: list[TimesView]
    detectors: list[PrecisionView]
    devices: list[PrecisionView]


@router.get("")
async def get_effect(
    services: ServicesDep,
    identity: SomebodyDep,
    since: Since = None,
    until: Until = None,
    estate: EstateQuery = None,
    synthetic: Synthetic = None,
) -> EffectView:
    """Say what alarms cost and what came of them, over the caller's estates."""
    require(identity, May.SEE_EFFECT)
    stretch = stretch_of(services, since, until, estate, synthetic)
    async with services.scoped(identity) as connection:
        return await measure(connection, stretch, identity.scope)


def stretch_of(
    services: Services,
    since: datetime | None,
    until: datetime | None,
    estate: str | None = None,
    synthetic: str | None = None,
) -> Stretch:
    """Return what is looked at.

    Raises:
        Rejected: `invalid`: it ends before it begins, or is too long.
    """
    end = until or services.clock()
    begin = since or end - WEEK
    if not timedelta() < end - begin <= LONGEST:
        raise Rejected("invalid", f"until: has to come within {LONGEST.days} days after since")
    return Stretch(begin, end, estate, synthetic)


class HourView(BaseModel):
    """Of the alerts raised in an hour (UTC's): how many came so far, and how soon."""

    hour: datetime
    estate: str = Field(examples=["tiantong-1"])
    priority: str = Field(examples=["critical"])
    what: Literal["raised", "delivered", "acknowledged", "attended", "resolved", "unanswered", "reopened"]
    alerts: int
    within_60s: int
    within_180s: int
    within_600s: int
    seconds_mean: float
    seconds_max: float


@router.get("/hourly")
async def get_hours(
    services: ServicesDep,
    identity: SomebodyDep,
    since: Since = None,
    until: Until = None,
    estate: EstateQuery = None,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Page[HourView]:
    """Say hour by hour how many alerts came how far, and how soon: for reports and long stretches."""
    require(identity, May.SEE_EFFECT)
    end = until or services.clock()
    after = position(cursor, tuple[datetime, str, str, str], None)
    async with services.scoped(identity) as connection:
        stretch = Stretch(since or end - WEEK, end, estate)
        found = await effect.hourly(connection, stretch, identity.scope, limit + 1, after)
    keys = [(one.hour, one.estate, one.priority, one.what) for one in found]
    shown, following = page(found, limit, keys)
    return Page(items=[HourView.model_validate(asdict(one)) for one in shown], next=following)


async def measure(connection: Connection, stretch: Stretch, scope: Scope) -> EffectView:
    """Compute every figure of a stretch of time."""
    told = await effect.told(connection, stretch, scope)
    asked = await effect.residents_asked(connection, stretch, scope)
    shifts = (await read_rota(connection, stretch.since)).shifts
    zone = ZoneInfo(await effect.time_zone(connection))
    ended = await effect.outcomes(connection, stretch, scope)
    residents = await effect.flagged(connection, stretch.estate, scope)
    weeks = residents * ((stretch.until - stretch.since) / WEEK)
    load = burden(told, shifts, stretch.since, stretch.until)
    return EffectView(
        since=stretch.since,
        until=stretch.until,
        residents=residents,
        alerts=ended.alerts,
        resolved_true=ended.resolved_true,
        resolved_false=ended.resolved_false,
        reopened=ended.reopened,
        unanswered=ended.unanswered,
        false_per_resident_week=ended.false_of_residents / weeks if weeks else None,
        night_wakings=night_wakings(told, asked, shifts, zone),
        burden=BurdenView(**asdict(load)),
        times=[
            TimesView.model_validate(asdict(one)) for one in await effect.times(connection, stretch, scope)
        ],
        detectors=await _precision(connection, stretch, scope, "model"),
        devices=await _precision(connection, stretch, scope, "device"),
    )


async def _precision(
    connection: Connection, stretch: Stretch, scope: Scope, by: Literal["model", "device"]
) -> list[PrecisionView]:
    found = await effect.precision(connection, stretch, scope, by)
    return [
        PrecisionView(name=one.name, true=one.true, false=one.false, precision=share(one.true, one.false))
        for one in found
    ]


async def look_at_day(connection: Connection, now: datetime) -> None:
    """Set the metrics of the last 24 hours."""
    found = await measure(connection, Stretch(now - DAY, now), Scope(None))
    for one in found.times:
        for quantile, value in (("0.5", one.p50_s), ("0.95", one.p95_s), ("0.99", one.p99_s)):
            _TIME.labels(one.what, quantile).set(value or 0)
    _ALARMS.labels("mean").set(found.burden.mean or 0)
    _ALARMS.labels("peak").set(found.burden.peak)
    _ALARMS.labels("flood_share").set(found.burden.flood_share or 0)
    for detector in found.detectors:
        _PRECISION.labels(detector.name).set(detector.precision or 0)
    for what in ("alerts", "resolved_true", "resolved_false", "reopened", "unanswered", "night_wakings"):
        _COUNTS.labels(what).set(getattr(found, what))
