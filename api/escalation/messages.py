"""What a notice says: as little as moves a person.  Pure.

Neighbour: `worker` fills it in.  A notice leaves the platform over routes that others own, so
it holds no name, no flat, no diagnosis: kind, estate and building, and a link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from api.console.catalogue import translator

LANGUAGE: Final = "zh"


@dataclass(frozen=True, slots=True)
class Message:
    """A notice in words."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class About:
    """What a notice may know of an alert."""

    kind: str
    priority: str
    estate: str | None
    building: str | None
    synthetic: str | None


def compose(
    about: About, link: str, *, repeat: bool, purpose: str = "alert", language: str = LANGUAGE
) -> Message:
    """Write a notice; a repeat and what is synthetic are labelled in the title.

    Args:
        about: What may be said of the alert.
        link: Where the reader goes on.
        repeat: It was said before, or may have been.
        purpose: `alert`: somebody is to take it; `task`: to go to a door; `offer`: to take it over
            from a colleague; `hand_up`: the street's centre is to help.
        language: Of the catalogue.
    """
    t = translator(language)
    labels = [t("notice.repeat")] if repeat else []
    labels += [t(f"notice.{purpose}")] if purpose != "alert" else []
    labels += [t(f"synthetic.{about.synthetic}")] if about.synthetic else []
    marks = "".join(t("notice.label", label=label) for label in labels)
    what = t("notice.title", priority=t(f"priority.{about.priority}"), kind=t(f"kind.{about.kind}"))
    where = " · ".join(filter(None, (about.estate, about.building))) or t("js.unknown_place")
    return Message(marks + what, t("notice.body", where=where, link=link))


def question(link: str, language: str = LANGUAGE) -> Message:
    """Ask a resident whether all is well."""
    t = translator(language)
    return Message(t("notice.question_title"), t("notice.question_body", link=link))


def verification(code: str, language: str = LANGUAGE) -> Message:
    """Write the message that proves a contact: whoever can read it to us is reached by it."""
    t = translator(language)
    return Message(t("notice.verify_title"), t("notice.verify_body", code=code))
