"""Duty as iCalendar (RFC 5545), so that people see it in the calendar they use anyway.  Pure.

Neighbour: `api.rota`.  An entry says whose duty it is and when, and nothing of any resident.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_FOLD: Final = 73
"""Octets of a line before it is folded; the limit is 75 with the space of the continuation."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One duty.

    Attributes:
        uid: Stays the same while the duty does, so that a calendar replaces and does not repeat it.
    """

    uid: str
    summary: str
    starts_at: datetime
    ends_at: datetime


def calendar(name: str, entries: list[Entry], made_at: datetime) -> str:
    """Write a calendar."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Vigil//Rota//EN", f"X-WR-CALNAME:{_text(name)}"]
    for entry in entries:
        lines += [
            "BEGIN:VEVENT",
            f"UID:{_text(entry.uid)}",
            f"DTSTAMP:{_utc(made_at)}",
            f"DTSTART:{_utc(entry.starts_at)}",
            f"DTEND:{_utc(entry.ends_at)}",
            f"SUMMARY:{_text(entry.summary)}",
            "END:VEVENT",
        ]
    return "".join(f"{_folded(line)}\r\n" for line in [*lines, "END:VCALENDAR"])


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _text(value: str) -> str:
    for plain, escaped in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        value = value.replace(plain, escaped)
    return value


def _folded(line: str) -> str:
    """Fold a line at 75 octets, never within a character."""
    pieces, current = [], ""
    for character in line:
        if len((current + character).encode()) > _FOLD:
            pieces.append(current)
            current = ""
        current += character
    return "\r\n ".join([*pieces, current])
