"""The console's pages beside the board, gathered for `api.app`.

Neighbours: one module a group of pages; `api.permissions` says who may open each.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from api.console import (
    alert,
    cases,
    community,
    devices,
    duty,
    editor,
    errands,
    manager,
    people,
    sheet,
    staffing,
    street,
)

PAGES: Final = (
    *(alert.router, community.router, manager.router, errands.router, sheet.router, sheet.notes_router),
    *(people.router, staffing.router, editor.router, duty.router, devices.router),
    *(cases.router, street.router),
)

router = APIRouter()
for part in PAGES:
    router.include_router(part)
