"""Between the watchdog and the platform: late alerts in, hand-overs and drills out.

Place in the flow: while an estate is in FALLBACK or RECOVERING and the API answers, the alerts
about that time are kept for `reconcile`; those whose resident a person has seen since are
handed over (`fallback_owned`), so that the escalator does not page for them again.  All others
it leaves alone: uncertain means that they page.  Drills are told while the platform answers, so that
drill events page people during one, and nobody outside of it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec
import structlog

from fallback import drills, records
from fallback.officer import UNTAKEN
from fallback.reconcile import LateAlert, closes
from fallback.store import moment_of
from vigil.errors import Unavailable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from fallback.rounds import Check
    from fallback.store import Store

PERIOD: Final = timedelta(seconds=15)
DRILLS_S: Final = 5.0
ANSWER_S: Final = 10.0
PAGES: Final = 50
"""Of 500 alerts each; more than a day of a city's community."""
_log = structlog.get_logger(__name__)


class Whom(msgspec.Struct, frozen=True):
    """Whom an alert is about."""

    id: str


class Shown(msgspec.Struct, frozen=True):
    """What is read of an alert (`api.views.AlertView`)."""

    id: str
    kind: str
    state: str
    version: int
    event_time: datetime
    resident: Whom | None
    synthetic: str | None


class Listed(msgspec.Struct, frozen=True):
    """A page of alerts."""

    alerts: list[Shown]
    next: str | None


async def alerts(client: httpx.AsyncClient, state: str, since: datetime) -> list[Shown]:
    """Return the platform's alerts about residents, as far back as a moment.

    Args:
        client: With a watchdog's token.
        state: `open` or `closed`.
        since: Of the events.

    Raises:
        Unavailable: The platform does not answer, or answers nonsense.
    """
    found: list[Shown] = []
    cursor: str | None = None
    try:
        for _ in range(PAGES):
            asked: dict[str, Any] = {"state": state, "limit": 500} | ({"cursor": cursor} if cursor else {})
            answer = await client.get("/api/v1/alerts", params=asked, timeout=ANSWER_S)
            answer.raise_for_status()
            page = msgspec.json.decode(answer.content, type=Listed)
            found += page.alerts
            cursor = page.next
            if cursor is None:
                break
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        raise Unavailable("the platform's list of alerts", error) from None
    return [alert for alert in found if alert.resident and alert.event_time >= since]


async def exchange(
    client: httpx.AsyncClient, store: Store, estate: str, residents: set[str], since: datetime
) -> None:
    """Take an estate's alerts in, and hand over those that people have answered.

    Args:
        client: With a watchdog's token.
        store: Where papers and alerts are kept.
        estate: Which one.
        residents: Its flagged residents.
        since: Beginning of the first unprotected interval.

    Raises:
        Unavailable: The platform does not answer.
    """
    open_ = await alerts(client, "open", since)
    late = [
        each for each in open_ + await alerts(client, "closed", since) if _late(each).resident in residents
    ]
    with store.transaction() as connection:
        for each in late:
            records.keep_late(connection, estate, _late(each))
    # What was only practised answers no alert.
    checks = records.checks(store, estate, since, drill=False)
    for each in open_:
        if each.state in UNTAKEN and _late(each).resident in residents:
            await _hand_over(client, each, checks)


def _late(shown: Shown) -> LateAlert:
    resident = shown.resident.id if shown.resident else ""
    return LateAlert(shown.id, resident, shown.kind, shown.event_time)


async def _hand_over(client: httpx.AsyncClient, alert: Shown, checks: Sequence[Check]) -> None:
    seen = next((check for check in checks if closes(check, _late(alert))), None)
    if seen is None:
        return
    body = {
        "version": alert.version,
        "reason": f"{seen.by}: {seen.method} {seen.result} {seen.at:%Y-%m-%d %H:%M} UTC",
    }
    try:
        answer = await client.post(f"/api/v1/alerts/{alert.id}/hand-to-fallback", json=body, timeout=ANSWER_S)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        # Somebody may have taken it meanwhile; the next exchange sees how it stands.
        _log.warning("an alert was not handed over", alert=alert.id, error=repr(error))


async def tell_drills(client: httpx.AsyncClient, store: Store, instance: str) -> None:
    """Tell the platform of the drills that it does not know of yet, as they stand now.

    Args:
        client: With a watchdog's token.
        store: Where they are kept, and what was told of each.
        instance: Tells this watchdog's drills from the other's.

    Raises:
        Unavailable: The platform does not answer, or refuses.
    """
    for row in store.read("SELECT * FROM drill ORDER BY id"):
        now_at = drills.stage(dict(row))
        if row["told"] == now_at:
            continue
        await _tell_drill(client, f"/api/v1/drills/{instance}-{row['id']}", row, ended=now_at == "ended")
        with store.transaction() as connection:
            connection.execute("UPDATE drill SET told = ? WHERE id = ?", [now_at, row["id"]])


async def _tell_drill(client: httpx.AsyncClient, path: str, row: sqlite3.Row, *, ended: bool) -> None:
    begins = moment_of(row["begun_at"] or row["planned_at"])
    body = {
        "estate": row["estate"],
        "kind": row["kind"],
        "scenario": row["scenario"],
        "starts_at": begins.isoformat(),
        "ends_at": (begins + timedelta(minutes=row["minutes"])).isoformat(),
    }
    try:
        answer = await client.put(path, json=body, timeout=ANSWER_S)
        answer.raise_for_status()
        if ended:
            answer = await client.post(f"{path}/end", timeout=ANSWER_S)
            answer.raise_for_status()
    except httpx.HTTPError as error:
        raise Unavailable("telling the platform of a drill", error) from None
