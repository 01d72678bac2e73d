"""Who may see and do what: pure facts about roles.

Neighbours: `api.auth` finds out who somebody is, this module what follows from it, and every
route asks here.  What is outside somebody's scope does not exist for them (404); what is in it
but not theirs to do is refused (403).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from vigil.store.accounts import EVERY_ESTATE
from vigil.store.board import Scope


class Role(StrEnum):
    """What somebody is here for; the last three are robots, which come with a token."""

    DUTY_OFFICER = "duty_officer"
    GRID_WORKER = "grid_worker"
    SUPERVISOR = "supervisor"
    COMMUNITY_MANAGER = "community_manager"
    OPS = "ops"
    AUDITOR = "auditor"
    STREET_CENTRE = "street_centre"
    RESIDENT = "resident"
    FAMILY = "family"
    CANARY = "canary"
    WATCHDOG = "watchdog"
    READER = "reader"


class May(StrEnum):
    """One thing that a role may do."""

    SEE_ALERTS = "see_alerts"
    SEE_PEOPLE = "see_people"
    TAKE = "take"
    SILENCE = "silence"
    REVIEW = "review"
    HAND_TO_FALLBACK = "hand_to_fallback"
    SEE_ROSTER = "see_roster"
    SEE_STAFF = "see_staff"
    MANAGE_STAFF = "manage_staff"
    MANAGE_ROTA = "manage_rota"
    HAND_OVER = "hand_over"
    SEE_POLICIES = "see_policies"
    MANAGE_POLICIES = "manage_policies"
    MANAGE_BOXES = "manage_boxes"
    SEE_HELPERS = "see_helpers"
    MANAGE_HELPERS = "manage_helpers"
    SEE_EFFECT = "see_effect"
    SEE_FRAMES = "see_frames"
    SEE_REGISTER = "see_register"
    MANAGE_REGISTER = "manage_register"
    RUN_DRILLS = "run_drills"
    SEE_AUDIT = "see_audit"
    TAKE_CONSENTS = "take_consents"
    SEE_OWN = "see_own"
    SAY_OWN = "say_own"
    CONSENT_OWN = "consent_own"
    EXPORT = "export"
    ERASE = "erase"
    BREAK_GLASS = "break_glass"
    SEE_CASES = "see_cases"


_HELPER: Final = frozenset(
    {
        *(May.SEE_ALERTS, May.SEE_PEOPLE, May.TAKE, May.HAND_OVER),
        *(May.SEE_STAFF, May.SEE_HELPERS, May.SEE_REGISTER, May.BREAK_GLASS),
    }
)
_OFFICER: Final = _HELPER | {May.SILENCE, May.SEE_POLICIES}
_LEADER: Final = _OFFICER | {
    *(May.REVIEW, May.SEE_ROSTER, May.MANAGE_ROTA),
    *(May.MANAGE_HELPERS, May.SEE_EFFECT, May.RUN_DRILLS, May.TAKE_CONSENTS),
    *(May.ERASE, May.SEE_CASES),
}
GRANTS: Final[dict[Role, frozenset[May]]] = {
    Role.DUTY_OFFICER: _OFFICER | {May.SEE_FRAMES},
    Role.GRID_WORKER: _HELPER,
    Role.SUPERVISOR: _LEADER | {May.SEE_FRAMES},
    Role.COMMUNITY_MANAGER: _LEADER
    | {May.SEE_FRAMES, May.MANAGE_STAFF, May.MANAGE_POLICIES, May.MANAGE_BOXES, May.MANAGE_REGISTER}
    | {May.EXPORT},
    Role.OPS: frozenset(
        {May.SEE_ALERTS, May.SEE_POLICIES, May.SEE_EFFECT, May.MANAGE_BOXES, May.SEE_REGISTER}
    ),
    Role.AUDITOR: frozenset(
        {May.SEE_ALERTS, May.SEE_STAFF, May.SEE_POLICIES, May.SEE_EFFECT, May.SEE_AUDIT, May.SEE_CASES}
    ),
    Role.STREET_CENTRE: _OFFICER | {May.SEE_ROSTER, May.SEE_EFFECT},
    Role.RESIDENT: frozenset({May.SEE_OWN, May.SAY_OWN, May.CONSENT_OWN}),
    Role.FAMILY: frozenset({May.SEE_OWN, May.SAY_OWN}),
    Role.CANARY: frozenset({May.SEE_ALERTS, May.TAKE}),
    Role.WATCHDOG: frozenset(
        {May.SEE_ALERTS, May.SEE_PEOPLE, May.SEE_ROSTER, May.HAND_TO_FALLBACK, May.RUN_DRILLS}
    ),
    Role.READER: frozenset({May.SEE_ALERTS}),
}
MEANING: Final[dict[May, str]] = {
    May.SEE_ALERTS: "see alerts of one's estates, live; without `see_people` no name and no door",
    May.SEE_PEOPLE: "see whom an alert concerns, and tasks at doors",
    May.TAKE: "take, attend and resolve an alert; give, accept and report tasks; hand up",
    May.SILENCE: "let an alert rest, for 4 h at most, with a reason",
    May.REVIEW: "confirm how an alert turned out",
    May.HAND_TO_FALLBACK: "say that people on paper have an alert (the watchdog)",
    May.SEE_ROSTER: "get the whole roster for the fallback's papers",
    May.SEE_STAFF: "see colleagues, shifts and beats",
    May.MANAGE_STAFF: "make and end accounts and webhooks",
    May.MANAGE_ROTA: "plan shifts, leave, overrides and beats",
    May.HAND_OVER: "offer and accept a duty",
    May.SEE_POLICIES: "see how alerts are escalated",
    May.MANAGE_POLICIES: "change how alerts are escalated",
    May.MANAGE_BOXES: "give boxes their codes, revoke their certificates",
    May.SEE_HELPERS: "see residents with key-holders, family and the note for the door",
    May.MANAGE_HELPERS: "change who helps a resident",
    May.SEE_EFFECT: "see what alarms cost people and how well detectors do",
    May.SEE_FRAMES: "look at a frame that was agreed to as evidence, for a purpose that is written down",
    May.SEE_REGISTER: "see the register: estates, buildings, homes, devices, assignments",
    May.MANAGE_REGISTER: "change the register",
    May.RUN_DRILLS: "plan, run and end drills",
    May.SEE_AUDIT: "read the audit log, which is of all estates",
    May.TAKE_CONSENTS: "write down what a resident has agreed to or withdrawn, with the proof",
    May.SEE_OWN: "see what is known of oneself (family: of who agrees to it), and who looked",
    May.SAY_OWN: "call for help, say to be fine, report a problem of the neighbourhood",
    May.CONSENT_OWN: "give and withdraw one's own consents",
    May.EXPORT: "give a resident everything that is known of them, at their request",
    May.ERASE: "ask for somebody's data to be erased, or carry out what another has asked for",
    May.BREAK_GLASS: "look at a resident beyond one's estates, for an hour, with a reason that they read",
    May.SEE_CASES: "see cases about who looked at residents",
}
"""What each permission is for, in the words of `docs/reference/roles.md`."""
ROBOTS: Final = frozenset({Role.CANARY, Role.WATCHDOG, Role.READER})
OWN_ONLY: Final = frozenset({Role.RESIDENT, Role.FAMILY})
"""Whose scope has no estate, whatever the account says: they see residents, each by a tie (`api.own`)."""


class View(StrEnum):
    """How much of an alert is shown; the live stream encodes each change once per view."""

    NAMED = "named"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who has shown who they are.

    Attributes:
        actor: As transitions name it: `person:{account}` or `robot:{token}`.
        name: For people to read.
        role: What they are here for.
        estates: Ids, or `EVERY_ESTATE`.
        csrf: What a browser has to send with every change; None with a bearer token, which
            no other site can make a browser send.
        limits: What a person's token was made for; None is all that the role may.
    """

    actor: str
    name: str
    role: Role
    estates: frozenset[str]
    csrf: str | None = None
    limits: frozenset[May] | None = None

    def may(self, what: May) -> bool:
        """Whether the role allows it, and the token, where one is used."""
        return what in GRANTS[self.role] and (self.limits is None or what in self.limits)

    @property
    def scope(self) -> Scope:
        """What they may know of."""
        if self.role in OWN_ONLY:
            return Scope(frozenset())
        every = EVERY_ESTATE in self.estates
        return Scope(None if every else self.estates, canary=self.role is Role.CANARY)

    @property
    def view(self) -> View:
        """How much of it they are shown."""
        return View.NAMED if self.may(May.SEE_PEOPLE) else View.ANONYMOUS
