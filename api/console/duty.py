"""`/duty`: who has duty now and next, gaps, and handing over with the list that both officers tick.

Neighbours: `api.rota` knows who has duty and takes what is changed, `api.handover` takes ticks and notes,
`static/duty.js` sends them and shows what the other one has ticked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from api import rota
from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.console.community import frame
from api.console.pages import render
from api.handover import POINTS
from api.services import ServicesDep
from vigil.store import handover, street
from vigil.store import rota as rows
from vigil.store.rota import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from vigil.store.handover import Check, Ending, Note
    from vigil.store.pool import Connection
    from vigil.store.rota import ShiftRow

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
AHEAD: Final = timedelta(days=7)
JUST_OVER: Final = timedelta(hours=2)
"""How long the list of a shift that has ended stands on the page."""
MOST: Final = 20
WHERE: Final = {1: "/", 2: "/edit/silences", 3: "/", 4: "/community", 5: "/sheet"}
"""Where each point of the list is looked at."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of shift on the page.

    Attributes:
        checks: Per point of the list the last word on it, or None.
        mine: The one who looks goes or comes.
    """

    ending: Ending
    checks: list[Check | None]
    notes: list[Note]
    mine: bool

    @property
    def done(self) -> int:
        """How many points were gone through."""
        return sum(check is not None and check.done for check in self.checks)


@router.get("/duty")
async def duty_page(request: Request, services: ServicesDep, identity: SomebodyDep) -> Response:
    """Show who has duty now and next, gaps, handovers under way, and the list of a change of shift."""
    require(identity, May.SEE_STAFF)
    now = services.clock()
    me = identity.actor.partition(":")[2]
    facts = await frame(request, services, identity)
    window = Window(now, now + AHEAD, 0, 500, None)
    async with services.scoped(identity) as connection:
        shifts = await rows.shifts(connection, window, identity.scope)
        covers = await rows.covers(connection, window, identity.scope)
        changes = await _changes(connection, identity, now)
        estates = {one.id: one.name for one in await street.estates(connection, identity.scope)}
        accounts = [one.account for one in shifts] + [one.account for one in covers]
        names = await rows.names(connection, accounts)
    standing = await rota.duty_now(services, identity, None)
    return render(
        request,
        "duty.html",
        **facts,
        shifts=in_order(shifts),
        covers=covers,
        changes=changes,
        names=names,
        estates=estates,
        standing=standing,
        mine=[one for one in in_order(shifts) if one.account == me],
        me=me,
        now=now,
        where=WHERE,
        may_tick=identity.may(May.HAND_OVER),
    )


def in_order(shifts: Sequence[ShiftRow]) -> list[ShiftRow]:
    """Return shifts as they come."""
    return sorted(shifts, key=lambda one: (one.starts_at, one.id))


async def _changes(connection: Connection, identity: Identity, now: datetime) -> list[Change]:
    """Return the changes of shift that are near, the reader's own first."""
    me = identity.actor.partition(":")[2]
    found = await handover.endings(connection, identity.scope, now - JUST_OVER, now, MOST)
    ids = [one.id for one in found]
    said = {(one.shift, one.point): one for one in await handover.checks(connection, ids)}
    notes = await handover.notes(connection, ids)
    changes = [
        Change(
            one,
            [said.get((one.id, point)) for point in range(1, POINTS + 1)],
            [note for note in notes if note.shift == one.id],
            mine=me in (one.account, *one.next),
        )
        for one in found
    ]
    return sorted(changes, key=lambda change: not change.mine)
