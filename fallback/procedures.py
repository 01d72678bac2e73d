"""Procedures: what people do when something fails, step by step, as versioned YAML.  Pure.

The files stand in `fallback/instructions/`.  `page` shows the ones that fit the verdict's
causes and takes the ticks, `pack` prints them all, `drills` measures how many steps were
followed.  A file that is wrong is refused as a whole, with the line of every error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from fallback.words import Both
from vigil.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fallback.state import Cause

WHO: Final = {
    "duty": Both("值班员", "duty officer"),
    "grid": Both("网格员", "grid worker"),
    "community": Both("社区", "community"),
    "property": Both("物业", "property management"),
    "family": Both("家属", "family"),
    "street": Both("街道", "street office"),
    "ops": Both("运维", "ops team"),
}
"""Who is responsible for a step."""
LEVELS: Final = ("node", "estate", "community", "street")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be done.

    Attributes:
        at_min: Minutes after the declaration by which it is begun.
        by: A key of `WHO`.
        do: The instruction.
        say: Words to be read out, or None.
        evidence: What shows that it was done.
    """

    id: str
    at_min: int
    by: str
    do: Both
    say: Both | None
    evidence: Both


@dataclass(frozen=True, slots=True)
class Procedure:
    """What to do about one fault.

    Attributes:
        version: Raised with every change; the pack prints it.
        level: How far the fault reaches: one of `LEVELS`.
        causes: `code` or `code:subject` of the causes that call for it.
        trigger: The same in words.
        owner: Who answers for it: a key of `WHO`; `deputy` stands in.
        stop: When it ends.
    """

    id: str
    version: int
    level: str
    causes: tuple[str, ...]
    title: Both
    trigger: Both
    owner: str
    deputy: str
    steps: tuple[Step, ...]
    stop: Both


def parse(text: str, name: str) -> Procedure:
    """Read a procedure.

    Args:
        text: YAML.
        name: Of the file, for the errors.

    Raises:
        Rejected: `malformed`; every error with its line.
    """
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Rejected("malformed", f"{name}:{line}: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Rejected("malformed", f"{name}:{line}: {error.reason}") from None
    reader = _Reader(name)
    read = _procedure(reader, root)
    if reader.errors or read is None:
        raise Rejected("malformed", "\n".join(reader.errors))
    return read


class _Reader:
    """Takes YAML nodes apart, and notes what is wrong with its line."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.errors: list[str] = []

    def wrong(self, node: yaml.Node | None, what: str) -> None:
        line = node.start_mark.line + 1 if node is not None else 1
        self.errors.append(f"{self.name}:{line}: {what}")

    def fields(
        self, node: yaml.Node | None, needs: Iterable[str], may: Iterable[str] = ()
    ) -> dict[str, yaml.Node]:
        """Return a mapping's fields; notes missing, unknown and repeated ones."""
        if not isinstance(node, yaml.MappingNode):
            self.wrong(node, f"here stands a mapping of {', '.join(needs)}")
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.value in found:
                self.wrong(key, f"{key.value} stands twice")
            elif key.value not in (*needs, *may):
                self.wrong(key, f"{key.value} is no field here")
            found[key.value] = value
        for name in needs:
            if name not in found:
                self.wrong(node, f"{name} is missing")
        return found

    def text(self, node: yaml.Node | None) -> str:
        if isinstance(node, yaml.ScalarNode) and node.value.strip():
            return str(node.value).strip()
        if node is not None:
            self.wrong(node, "here stands a text that is not empty")
        return ""

    def number(self, node: yaml.Node | None, least: int) -> int:
        value = node.value if isinstance(node, yaml.ScalarNode) else ""
        if isinstance(value, str) and value.isdecimal() and int(value) >= least:
            return int(value)
        if node is not None:
            self.wrong(node, f"here stands a whole number from {least}")
        return least

    def choice(self, node: yaml.Node | None, among: Iterable[str]) -> str:
        value = self.text(node)
        if value and value not in among:
            self.wrong(node, f"{value} is none of {', '.join(among)}")
        return value

    def both(self, node: yaml.Node | None) -> Both:
        if node is None:
            return Both("", "")
        fields = self.fields(node, ("zh", "en"))
        return Both(self.text(fields.get("zh")), self.text(fields.get("en")))

    def items(self, node: yaml.Node | None) -> Sequence[yaml.Node]:
        if isinstance(node, yaml.SequenceNode) and node.value:
            return list(node.value)
        if node is not None:
            self.wrong(node, "here stands a list that is not empty")
        return ()


_NEEDS: Final = ("id", "version", "level", "causes", "title", "trigger", "owner", "deputy", "steps", "stop")


def _procedure(reader: _Reader, node: yaml.Node | None) -> Procedure | None:
    fields = reader.fields(node, _NEEDS)
    if not fields:
        return None
    steps = tuple(_step(reader, item) for item in reader.items(fields.get("steps")))
    _check_steps(reader, fields.get("steps"), steps)
    owner = reader.choice(fields.get("owner"), WHO)
    deputy = reader.choice(fields.get("deputy"), WHO)
    if owner and owner == deputy:
        reader.wrong(fields.get("deputy"), "the deputy is somebody else than the owner")
    return Procedure(
        id=reader.text(fields.get("id")),
        version=reader.number(fields.get("version"), 1),
        level=reader.choice(fields.get("level"), LEVELS),
        causes=tuple(reader.text(item) for item in reader.items(fields.get("causes"))),
        title=reader.both(fields.get("title")),
        trigger=reader.both(fields.get("trigger")),
        owner=owner,
        deputy=deputy,
        steps=steps,
        stop=reader.both(fields.get("stop")),
    )


def _step(reader: _Reader, node: yaml.Node) -> Step:
    fields = reader.fields(node, ("id", "at_min", "by", "do", "evidence"), ("say",))
    say = fields.get("say")
    return Step(
        id=reader.text(fields.get("id")),
        at_min=reader.number(fields.get("at_min"), 0),
        by=reader.choice(fields.get("by"), WHO),
        do=reader.both(fields.get("do")),
        say=None if say is None else reader.both(say),
        evidence=reader.both(fields.get("evidence")),
    )


def _check_steps(reader: _Reader, node: yaml.Node | None, steps: Sequence[Step]) -> None:
    items: list[Any] = list(node.value) if isinstance(node, yaml.SequenceNode) else []
    known: set[str] = set()
    latest = 0
    for item, step in zip(items, steps, strict=True):
        if step.id in known:
            reader.wrong(item, f"step {step.id} stands twice")
        if step.at_min < latest:
            reader.wrong(item, f"step {step.id} begins before the one above it")
        known.add(step.id)
        latest = step.at_min


def library(names: Iterable[str], read: Callable[[str], str]) -> list[Procedure]:
    """Read all procedures.

    Args:
        names: Of the files.
        read: Returns a file's text.

    Raises:
        Rejected: `malformed`; every error of every file, or an id that stands twice.
    """
    found: dict[str, Procedure] = {}
    errors = []
    for name in sorted(names):
        try:
            procedure = parse(read(name), name)
        except Rejected as error:
            errors.append(error.detail)
            continue
        if procedure.id in found:
            errors.append(f"{name}:1: procedure {procedure.id} stands in another file too")
        found[procedure.id] = procedure
    if errors:
        raise Rejected("malformed", "\n".join(errors))
    return list(found.values())


def fitting(procedures: Iterable[Procedure], causes: Sequence[Cause], *, fallback: bool) -> list[Procedure]:
    """Return the procedures that causes call for, the widest fault first; in fallback also its own."""
    called = {name for cause in causes for name in (cause.code, f"{cause.code}:{cause.subject}")}
    called |= {"fallback"} if fallback else set()
    found = [each for each in procedures if called & set(each.causes)]
    return sorted(found, key=lambda each: -LEVELS.index(each.level))
