"""What each route asks of its caller: one table; what does not stand in it is refused.

Neighbours: `api.access` says what each role may, `api.auth` asks this table before any route is
reached, `api.app` refuses to start while a route is missing here.  A route may ask for more than
the table does (whose task it is, say), never for less.  `docs/reference/roles.md` is made of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from api.access import May
from vigil.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterable


class Open(StrEnum):
    """Who is let in without a permission."""

    ANYBODY = "anybody"
    """Signed in or not: what proves the caller's right is in the request itself, or nothing is told."""
    SIGNED_IN = "signed_in"
    """Whoever is known, for what is their own; the route checks whose it is."""
    PERSON = "person"
    """Somebody signed in with a session; no token, whoever made it."""


Need = May | Open | tuple[May, ...]

ROUTES: Final[dict[str, Need]] = {
    # Alerts and the live stream.
    "GET /api/v1/alerts": May.SEE_ALERTS,
    "GET /api/v1/alerts/{alert}": May.SEE_ALERTS,
    "POST /api/v1/alerts/{alert}/acknowledge": May.TAKE,
    "POST /api/v1/alerts/{alert}/attend": May.TAKE,
    "POST /api/v1/alerts/{alert}/delivered": May.TAKE,
    "POST /api/v1/alerts/{alert}/resolve": May.TAKE,
    "POST /api/v1/alerts/{alert}/silence": May.SILENCE,
    "POST /api/v1/alerts/{alert}/review": May.REVIEW,
    "POST /api/v1/alerts/{alert}/hand-to-fallback": May.HAND_TO_FALLBACK,
    "GET /api/v1/alerts/{alert}/residents": May.SEE_PEOPLE,
    "GET /api/v1/alerts/{alert}/nearest": May.SEE_PEOPLE,
    "GET /api/v1/alerts/{alert}/notices": May.SEE_STAFF,
    "POST /api/v1/receipts/{link}": Open.ANYBODY,
    "POST /api/v1/alerts/{alert}/notes": May.TAKE,
    "GET /api/v1/alerts/{alert}/colleagues": (May.TAKE, May.SEE_STAFF),
    "POST /api/v1/alerts/{alert}/offers": May.TAKE,
    "POST /api/v1/offers/{offer}/accept": May.TAKE,
    "POST /api/v1/offers/{offer}/return": May.TAKE,
    "GET /api/v1/silences": May.SEE_ALERTS,
    "GET /api/v1/stream": May.SEE_ALERTS,
    # What is asked of grid workers and of the street's centre.
    "POST /api/v1/alerts/{alert}/tasks": (May.TAKE, May.SEE_PEOPLE),
    "GET /api/v1/tasks": May.SEE_PEOPLE,
    "GET /api/v1/tasks/{task}": May.SEE_PEOPLE,
    "POST /api/v1/tasks/{task}/accept": May.TAKE,
    "POST /api/v1/tasks/{task}/report": May.TAKE,
    "POST /api/v1/tasks/{task}/withdraw": May.TAKE,
    "POST /api/v1/alerts/{alert}/hand-up": (May.TAKE, May.SEE_PEOPLE),
    "GET /api/v1/hand-ups": May.SEE_PEOPLE,
    "GET /api/v1/hand-ups/{hand_up}": May.SEE_PEOPLE,
    "POST /api/v1/hand-ups/{hand_up}/take": May.TAKE,
    # Residents and who helps them.
    "GET /api/v1/residents": May.SEE_HELPERS,
    "GET /api/v1/residents/{resident}/helpers": May.SEE_HELPERS,
    "PUT /api/v1/residents/{resident}/helpers": May.MANAGE_HELPERS,
    "GET /api/v1/residents/{resident}/profile": May.SEE_HELPERS,
    "PUT /api/v1/residents/{resident}/profile": May.MANAGE_HELPERS,
    # What residents agree to; whose account it is.
    "GET /api/v1/residents/{resident}/consents": May.SEE_HELPERS,
    "PUT /api/v1/residents/{resident}/consents/{purpose}": May.TAKE_CONSENTS,
    "GET /api/v1/accounts/{account}/residents": May.MANAGE_STAFF,
    "PUT /api/v1/accounts/{account}/residents": May.MANAGE_STAFF,
    # What is a resident's own; a family sees who agrees to it.
    "GET /api/v1/me": May.SEE_OWN,
    "GET /api/v1/me/{resident}": May.SEE_OWN,
    "GET /api/v1/me/{resident}/looks": May.SEE_OWN,
    "GET /api/v1/me/{resident}/consents": May.SEE_OWN,
    "PUT /api/v1/me/{resident}/consents/{purpose}": May.CONSENT_OWN,
    "POST /api/v1/me/{resident}/answer": May.SAY_OWN,
    "GET /api/v1/me/{resident}/reports": May.SEE_OWN,
    "POST /api/v1/me/{resident}/reports": May.SAY_OWN,
    # The register and its history.  An undo also asks for the right to change the thing.
    "GET /api/v1/communities": May.SEE_REGISTER,
    "POST /api/v1/communities": May.MANAGE_REGISTER,
    "GET /api/v1/communities/{thing}": May.SEE_REGISTER,
    "PUT /api/v1/communities/{thing}": May.MANAGE_REGISTER,
    "DELETE /api/v1/communities/{thing}": May.MANAGE_REGISTER,
    "GET /api/v1/estates": May.SEE_REGISTER,
    "POST /api/v1/estates": May.MANAGE_REGISTER,
    "GET /api/v1/estates/{thing}": May.SEE_REGISTER,
    "PUT /api/v1/estates/{thing}": May.MANAGE_REGISTER,
    "DELETE /api/v1/estates/{thing}": May.MANAGE_REGISTER,
    "GET /api/v1/buildings": May.SEE_REGISTER,
    "POST /api/v1/buildings": May.MANAGE_REGISTER,
    "GET /api/v1/buildings/{thing}": May.SEE_REGISTER,
    "PUT /api/v1/buildings/{thing}": May.MANAGE_REGISTER,
    "DELETE /api/v1/buildings/{thing}": May.MANAGE_REGISTER,
    "GET /api/v1/zones": May.SEE_REGISTER,
    "POST /api/v1/zones": May.MANAGE_REGISTER,
    "GET /api/v1/zones/{thing}": May.SEE_REGISTER,
    "PUT /api/v1/zones/{thing}": May.MANAGE_REGISTER,
    "DELETE /api/v1/zones/{thing}": May.MANAGE_REGISTER,
    "GET /api/v1/nodes": May.SEE_REGISTER,
    "POST /api/v1/nodes": May.MANAGE_BOXES,
    "GET /api/v1/nodes/{thing}": May.SEE_REGISTER,
    "PUT /api/v1/nodes/{thing}": May.MANAGE_BOXES,
    "DELETE /api/v1/nodes/{thing}": May.MANAGE_BOXES,
    "GET /api/v1/devices": May.SEE_REGISTER,
    "POST /api/v1/devices": May.MANAGE_BOXES,
    "GET /api/v1/devices/{thing}": May.SEE_REGISTER,
    "PUT /api/v1/devices/{thing}": May.MANAGE_BOXES,
    "DELETE /api/v1/devices/{thing}": May.MANAGE_BOXES,
    "GET /api/v1/assignments": May.SEE_HELPERS,
    "POST /api/v1/assignments": May.MANAGE_HELPERS,
    "GET /api/v1/assignments/{thing}": May.SEE_HELPERS,
    "PUT /api/v1/assignments/{thing}": May.MANAGE_HELPERS,
    "DELETE /api/v1/assignments/{thing}": May.MANAGE_HELPERS,
    "POST /api/v1/residents": May.MANAGE_REGISTER,
    "GET /api/v1/residents/{thing}": May.SEE_HELPERS,
    "PUT /api/v1/residents/{thing}": May.MANAGE_REGISTER,
    "GET /api/v1/devices/{device}/places": May.SEE_REGISTER,
    "GET /api/v1/estates/{estate}/plan": May.SEE_REGISTER,
    "GET /api/v1/estates/{estate}/plan.svg": May.SEE_REGISTER,
    "PUT /api/v1/estates/{estate}/plan": May.MANAGE_REGISTER,
    "DELETE /api/v1/estates/{estate}/plan": May.MANAGE_REGISTER,
    "POST /api/v1/estates/{estate}/plan/back": May.MANAGE_REGISTER,
    "GET /api/v1/changes": May.SEE_REGISTER,
    "POST /api/v1/changes/{change}/undo": May.SEE_REGISTER,
    # Staff, their contacts, their beats, their duty.
    "GET /api/v1/accounts": May.SEE_STAFF,
    "GET /api/v1/accounts/{account}": May.SEE_STAFF,
    "POST /api/v1/accounts": May.MANAGE_STAFF,
    "PUT /api/v1/accounts/{account}": May.MANAGE_STAFF,
    "DELETE /api/v1/accounts/{account}": May.MANAGE_STAFF,
    "GET /api/v1/accounts/{account}/beat": May.SEE_STAFF,
    "PUT /api/v1/accounts/{account}/beat": May.MANAGE_ROTA,
    "GET /api/v1/accounts/{account}/contacts": Open.SIGNED_IN,
    "PUT /api/v1/accounts/{account}/contacts/{position}": Open.SIGNED_IN,
    "DELETE /api/v1/accounts/{account}/contacts/{position}": Open.SIGNED_IN,
    "POST /api/v1/accounts/{account}/contacts/{position}/code": Open.SIGNED_IN,
    "POST /api/v1/accounts/{account}/contacts/{position}/verify": Open.SIGNED_IN,
    "GET /api/v1/shifts": May.SEE_STAFF,
    "POST /api/v1/shifts": May.MANAGE_ROTA,
    "GET /api/v1/shifts/{shift}": May.SEE_STAFF,
    "PUT /api/v1/shifts/{shift}": May.MANAGE_ROTA,
    "DELETE /api/v1/shifts/{shift}": May.MANAGE_ROTA,
    "POST /api/v1/shifts/{shift}/overrides": May.MANAGE_ROTA,
    "POST /api/v1/shifts/{shift}/handovers": May.HAND_OVER,
    "GET /api/v1/shifts/{shift}/checks": May.SEE_STAFF,
    "POST /api/v1/shifts/{shift}/checks": May.HAND_OVER,
    "POST /api/v1/shifts/{shift}/notes": May.HAND_OVER,
    "GET /api/v1/handovers": May.SEE_STAFF,
    "POST /api/v1/handovers/{handover}/accept": May.HAND_OVER,
    "POST /api/v1/handovers/{handover}/decline": May.HAND_OVER,
    "POST /api/v1/handovers/{handover}/withdraw": May.HAND_OVER,
    "GET /api/v1/leave": May.SEE_STAFF,
    "POST /api/v1/leave": May.MANAGE_ROTA,
    "DELETE /api/v1/leave/{leave}": May.MANAGE_ROTA,
    "GET /api/v1/rota": May.SEE_STAFF,
    "GET /api/v1/rota.ics": May.SEE_STAFF,
    "GET /api/v1/calendars": May.SEE_STAFF,
    "POST /api/v1/calendars": May.SEE_STAFF,
    "DELETE /api/v1/calendars/{calendar}": May.SEE_STAFF,
    "GET /api/v1/calendars/{secret}.ics": Open.ANYBODY,
    # How alerts are escalated, what they cost, who else is told.
    "GET /api/v1/policies": May.SEE_POLICIES,
    "GET /api/v1/policies/built-in": May.SEE_POLICIES,
    "GET /api/v1/policies/{name}": May.SEE_POLICIES,
    "GET /api/v1/policies/{name}/versions": May.SEE_POLICIES,
    "POST /api/v1/policies": May.MANAGE_POLICIES,
    "PUT /api/v1/policies/{name}": May.MANAGE_POLICIES,
    "DELETE /api/v1/policies/{name}": May.MANAGE_POLICIES,
    "GET /api/v1/effect": May.SEE_EFFECT,
    "GET /api/v1/effect/hourly": May.SEE_EFFECT,
    "GET /api/v1/detectors": May.SEE_EFFECT,
    "POST /api/v1/detectors/{detector}/modes": May.MANAGE_POLICIES,
    "GET /api/v1/misses": May.SEE_HELPERS,
    "POST /api/v1/misses": May.SEE_HELPERS,
    "POST /api/v1/misses/{miss}/withdraw": May.REVIEW,
    "GET /api/v1/webhooks": May.MANAGE_STAFF,
    "GET /api/v1/webhooks/{webhook}": May.MANAGE_STAFF,
    "POST /api/v1/webhooks": May.MANAGE_STAFF,
    "PUT /api/v1/webhooks/{webhook}": May.MANAGE_STAFF,
    "DELETE /api/v1/webhooks/{webhook}": May.MANAGE_STAFF,
    # Boxes: a code or a certificate is the proof, and the list of revoked ones is for everybody.
    "GET /api/v1/configs": May.MANAGE_BOXES,
    "GET /api/v1/configs/{node}": May.MANAGE_BOXES,
    "PUT /api/v1/configs/{node}": May.MANAGE_BOXES,
    "GET /api/v1/configs/{node}/versions": May.MANAGE_BOXES,
    "GET /api/v1/configs/{node}/commands": May.MANAGE_BOXES,
    "POST /api/v1/configs/{node}/commands": May.MANAGE_BOXES,
    "POST /api/v1/claims": May.MANAGE_BOXES,
    "GET /api/v1/claims/nodes/{node}": May.MANAGE_BOXES,
    "DELETE /api/v1/claims/nodes/{node}": May.MANAGE_BOXES,
    "POST /api/v1/claims/redeem": Open.ANYBODY,
    "POST /api/v1/claims/renew": Open.ANYBODY,
    "GET /api/v1/claims/revoked": Open.ANYBODY,
    # Frames as evidence: boxes prove who they are in the request itself; who looks needs the right.
    "POST /api/v1/evidence/permits": Open.ANYBODY,
    "POST /api/v1/evidence/frames": Open.ANYBODY,
    "GET /api/v1/alerts/{alert}/frames": May.SEE_FRAMES,
    "GET /api/v1/alerts/{alert}/frames/{frame}": May.SEE_FRAMES,
    # The watchdog.
    "GET /api/v1/fallback/snapshot": May.SEE_ROSTER,
    "GET /api/v1/fallback/standing": May.SEE_ROSTER,
    "GET /api/v1/fallback/checkpoint": May.SEE_ROSTER,
    "GET /api/v1/audit": May.SEE_AUDIT,
    # Residents' rights, and who looked beyond their work.
    "GET /api/v1/me/{resident}/export": May.CONSENT_OWN,
    "GET /api/v1/residents/{resident}/export": May.EXPORT,
    "GET /api/v1/residents/{resident}/erasure": May.ERASE,
    "POST /api/v1/residents/{resident}/erasure": May.ERASE,
    "DELETE /api/v1/residents/{resident}/erasure": May.ERASE,
    "POST /api/v1/residents/{resident}/erasure/carry-out": May.ERASE,
    "POST /api/v1/break-glass": May.BREAK_GLASS,
    "GET /api/v1/break-glass/{glass}": May.BREAK_GLASS,
    "GET /api/v1/access-cases": May.SEE_CASES,
    "POST /api/v1/access-cases/{case}/close": (May.SEE_CASES, May.REVIEW),
    "GET /api/v1/drills": May.SEE_ALERTS,
    "PUT /api/v1/drills/{drill}": May.RUN_DRILLS,
    "POST /api/v1/drills/{drill}/end": May.RUN_DRILLS,
    # Signing in and out.
    "POST /api/v1/session": Open.ANYBODY,
    "GET /api/v1/session": Open.SIGNED_IN,
    "DELETE /api/v1/session": Open.SIGNED_IN,
    # What is one's own; a token does not do.
    "GET /api/v1/session/all": Open.PERSON,
    "DELETE /api/v1/session/all": Open.PERSON,
    "GET /api/v1/session/second-factor": Open.PERSON,
    "POST /api/v1/session/second-factor": Open.PERSON,
    "POST /api/v1/session/second-factor/confirm": Open.PERSON,
    "POST /api/v1/session/second-factor/remove": Open.PERSON,
    "GET /api/v1/push": Open.PERSON,
    "POST /api/v1/push/subscriptions": Open.PERSON,
    "POST /api/v1/push/subscriptions/end": Open.PERSON,
    "GET /api/v1/tokens": Open.PERSON,
    "POST /api/v1/tokens": Open.PERSON,
    "DELETE /api/v1/tokens/{token}": Open.PERSON,
    # Pages.  Those for staff lead to the form for signing in; links in notices are signed.
    "GET /login": Open.ANYBODY,
    "POST /login": Open.ANYBODY,
    "POST /logout": Open.ANYBODY,
    "GET /oidc/start": Open.ANYBODY,
    "GET /oidc/callback": Open.ANYBODY,
    "GET /account": Open.ANYBODY,
    "POST /account/second-factor": Open.ANYBODY,
    "POST /account/second-factor/confirm": Open.ANYBODY,
    "POST /account/second-factor/remove": Open.ANYBODY,
    "POST /account/sign-out-everywhere": Open.ANYBODY,
    "POST /preferences": Open.ANYBODY,
    "GET /": Open.ANYBODY,
    "GET /alerts/{alert}": Open.ANYBODY,
    "GET /alerts/{alert}/day": (May.SEE_ALERTS, May.SEE_PEOPLE),
    "GET /worker.js": Open.ANYBODY,
    "GET /round": May.SEE_PEOPLE,
    "GET /community": May.SEE_PEOPLE,
    "GET /community/residents": May.SEE_PEOPLE,
    "GET /community/devices": May.SEE_PEOPLE,
    "GET /community/search": May.SEE_PEOPLE,
    "GET /street": May.SEE_PEOPLE,
    "GET /duty": May.SEE_STAFF,
    "GET /manager": May.SEE_EFFECT,
    "GET /manager.csv": May.SEE_EFFECT,
    "GET /manager/devices": May.SEE_EFFECT,
    "GET /manager/devices.csv": May.SEE_EFFECT,
    "GET /cases": May.SEE_CASES,
    "GET /edit": May.SEE_REGISTER,
    "GET /edit/estates/{thing}/plan": May.SEE_REGISTER,
    "GET /edit/residents/{thing}/care": May.SEE_HELPERS,
    "GET /edit/residents/{thing}/consents": May.SEE_HELPERS,
    "GET /edit/accounts": May.SEE_STAFF,
    "GET /edit/accounts/new": May.MANAGE_STAFF,
    "GET /edit/accounts/{account}": May.SEE_STAFF,
    "GET /edit/duty": May.SEE_STAFF,
    "GET /edit/duty/{shift}": May.SEE_STAFF,
    "GET /edit/policies": May.SEE_POLICIES,
    "GET /edit/policies/new": May.MANAGE_POLICIES,
    "GET /edit/policies/{name}": May.SEE_POLICIES,
    "GET /edit/silences": May.SEE_ALERTS,
    "GET /edit/{plural}": May.SEE_REGISTER,
    "GET /edit/{plural}/suggest": May.SEE_REGISTER,
    "GET /edit/{plural}/new": May.SEE_REGISTER,
    "GET /edit/{plural}/{thing}": May.SEE_REGISTER,
    "GET /sheet": May.SEE_PEOPLE,
    "GET /me": May.SEE_OWN,
    "POST /me/answer": Open.ANYBODY,
    "POST /me/consents": Open.ANYBODY,
    "POST /me/reports": Open.ANYBODY,
    "GET /sheet/notes": May.SEE_PEOPLE,
    "POST /api/v1/sheet-notes": May.TAKE,
    "GET /take/{link}": Open.ANYBODY,
    "POST /take/{link}": Open.ANYBODY,
    "GET /answer/{link}": Open.ANYBODY,
    "POST /answer/{link}": Open.ANYBODY,
}
"""`METHOD path` -> what the caller needs."""


def mays(need: Need | None) -> tuple[May, ...]:
    """Return the permissions that a need stands for; all of them are asked for."""
    if isinstance(need, tuple):
        return need
    return (need,) if isinstance(need, May) else ()


def check(served: Iterable[str]) -> None:
    """Refuse to serve a route that the table does not know.

    Raises:
        Misconfigured: Names the routes.
    """
    if missing := sorted(set(served) - set(ROUTES)):
        raise Misconfigured("api.permissions.ROUTES", f"says nothing of {', '.join(missing)}")
