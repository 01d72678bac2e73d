"""`docs/reference/roles.md`, made of the tables that the platform itself asks; `python -m api.roles`.

Neighbours: `api.access` has roles and what each may, `api.permissions` what each route needs.  A
test compares the file with what is made here.
"""

from __future__ import annotations

import sys
from typing import Final

from api.access import GRANTS, MEANING, ROBOTS, May, Role
from api.permissions import ROUTES, Need, Open, mays

HEAD: Final = """\
# Roles and what they may

Made by `python -m api.roles` from the tables that the platform asks with every request (`GRANTS` in
`api/access.py`, `ROUTES` in `api/permissions.py`). What does not stand here is refused.

A role says *what*, an account's estates say *where*: people see the rows of their estates alone, and
PostgreSQL holds to that as well (`vigil/store/rights.py`). The last three roles are robots', which come
with a token.
"""
FOR_WHOM: Final = {
    Open.ANYBODY: "anybody (the request itself holds the proof, or nothing is told)",
    Open.SIGNED_IN: "whoever has signed in, for what is their own",
    Open.PERSON: "a person with a session; no token",
}


def document() -> str:
    """Return the page."""
    return "\n".join(
        [HEAD, *_granted(), "", "## What each permission is for", "", *_meanings(), "", *_routes(), ""]
    )


def _granted() -> list[str]:
    roles = list(Role)
    heads = " | ".join(f"{role}*" if role in ROBOTS else role for role in roles)
    rows = [
        f"| `{may}` | {' | '.join('yes' if may in GRANTS[role] else '' for role in roles)} |" for may in May
    ]
    return [f"| | {heads} |", "|---" * (len(roles) + 1) + "|", *rows]


def _meanings() -> list[str]:
    return [f"- `{may}`: {MEANING[may]}" for may in May]


def _routes() -> list[str]:
    rows = [f"| `{route}` | {_words(need)} |" for route, need in ROUTES.items()]
    return ["## What each route needs", "", "| route | needs |", "|---|---|", *rows]


def _words(need: Need) -> str:
    return FOR_WHOM[need] if isinstance(need, Open) else " and ".join(f"`{may}`" for may in mays(need))


if __name__ == "__main__":
    sys.stdout.write(document())
