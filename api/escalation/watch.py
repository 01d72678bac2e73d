"""What is wrong with the rota of the next 7 days, said now: one trouble alert an estate.

Neighbours: `worker` looks every minute; `rota` finds gaps and lapses; the alert then takes the
way of every other.  The same trouble is said once a day until it is put right, also when
somebody has closed the alert.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from api.escalation import rota
from api.escalation.rota import Rota
from vigil.alerts import Priority
from vigil.events import derived_id
from vigil.store import alerts
from vigil.store.detections import Detection

if TYPE_CHECKING:
    from vigil.store.pool import Connection

KIND: Final = "rota"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong for an estate; `id` is the same for the same trouble on the same day."""

    id: UUID
    estate: str
    at: datetime
    summary: dict[str, str]


def look(known: Rota, estate: str, now: datetime) -> Trouble | None:
    """Return what is wrong with the rota of an estate, the most urgent first; None where nothing is.

    Args:
        known: Everybody, and who has duty.
        estate: Which one.
        now: Present time.
    """
    near = rota.for_estate(known, estate)
    gaps = rota.gaps(near.shifts, now)
    if gaps:
        starts_at, ends_at = gaps[0]
        return _trouble(estate, starts_at, now, _gap(starts_at, ends_at, now))
    lapses = rota.lapses(near, now)
    if lapses:
        return _trouble(estate, lapses[0][0], now, _lapse(len(lapses)))
    return None


def _trouble(estate: str, at: datetime, now: datetime, summary: dict[str, str]) -> Trouble:
    since = "now" if at <= now else at.isoformat()
    return Trouble(derived_id(KIND, estate, since, now.date().isoformat()), estate, at, summary)


def _gap(starts_at: datetime, ends_at: datetime, now: datetime) -> dict[str, str]:
    if starts_at <= now:
        return {
            "en": "No officer is on duty for this estate now; the supervisor is told instead",
            "zh": "本小区目前无人值守，告警将直接通知主管",
        }
    hours = max(1, round((starts_at - now).total_seconds() / 3600))
    if ends_at >= now + rota.LOOK_AHEAD:
        return {"en": f"The duty roster ends in {hours} h", "zh": f"排班表将在{hours}小时后结束"}
    return {"en": f"A gap in the duty roster begins in {hours} h", "zh": f"{hours}小时后排班出现空缺"}


def _lapse(people: int) -> dict[str, str]:
    return {
        "en": f"{people} on the roster of the next 7 days have no two verified contacts",
        "zh": f"未来7天的值班人员中有{people}人的联系方式未通过验证",
    }


async def raise_trouble(connection: Connection, trouble: Trouble, now: datetime) -> None:
    """Raise it, or join it to what is open; what was said today already changes nothing."""
    subject = f"rota:{trouble.estate}"
    detection = Detection(
        id=trouble.id,
        event=trouble.id,
        time=now,
        kind=KIND,
        subject=subject,
        resident=None,
        zone=None,
        estate=trouble.estate,
        device="platform",
        score=1.0,
        model=KIND,
        model_version="1",
        explanation=trouble.summary,
        synthetic=None,
        made_at=now,
    )
    await alerts.raise_found(connection, detection, Priority.TROUBLE, now)
