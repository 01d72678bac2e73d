"""What the watchdog has seen from outside, apart from its canaries: facts in, findings out.

Place in the flow: `probes`, `ears`, `standing` and `__main__` bring facts; `watchdog` takes
them in under its lock and asks for the findings.  Nothing here waits.

Rules of silence
----------------
1. A node whose will came (or that said farewell) is silent from then on.
2. A node whose health was heard, and is not for `coverage.SILENT` while we listen, is silent
   since it was heard last: it hangs, or its line does, and its will may never come.
3. We *listen* while our own connection stands and the platform stores (nodes hold their health
   back while it does not); what was missed before is held against nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fallback import coverage, liveness
from fallback.probes import Looked
from fallback.state import Cause, Findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from fallback.liveness import Process


@dataclass(frozen=True, slots=True)
class Heard:
    """A node said, or its will says, whether it is online; its health says that it is."""

    node: str
    online: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Listening:
    """Whether a node that is not heard would be one that is silent."""

    on: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Noted:
    """Something else that is wrong or well again: the other instance, the packs, the notices.

    Attributes:
        code: Of the cause.
        wrong: What is wrong, or None.
        estate: Whose it is; empty for all of them.
    """

    code: str
    wrong: str | None
    at: datetime
    estate: str = ""


Sensed = Looked | Heard | Listening | Noted


class Senses:
    """What was seen last.

    Args:
        processes: To be looked at.
    """

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = {process.url: process for process in processes}
        self._noted: dict[tuple[str, str], Cause] = {}
        self._gone: dict[str, datetime] = {}
        self._heard: dict[str, datetime] = {}
        self._listening_since: datetime | None = None

    @property
    def processes(self) -> tuple[Process, ...]:
        """The processes, as they were last seen."""
        return tuple(self._processes.values())

    def take(self, fact: Sensed) -> None:
        """Take a fact in."""
        match fact:
            case Looked(url):
                self._processes[url] = liveness.looked(
                    self._processes[url], fact.wrong, fact.at, fact.progress, answers=fact.answers
                )
            case Heard(node, online, at):
                self._hear(node, at, online=online)
            case Listening(on, at):
                self._listening_since = at if on else None
            case Noted():
                self._note(fact)

    def stood_still(self, now: datetime) -> None:
        """Hold against nobody what was missed while the watchdog itself did not look."""
        if self._listening_since is not None:
            self._listening_since = now

    def _hear(self, node: str, at: datetime, *, online: bool) -> None:
        if online:
            self._gone.pop(node, None)
            self._heard[node] = at
        else:
            self._heard.pop(node, None)
            self._gone.setdefault(node, at)

    def _note(self, fact: Noted) -> None:
        key = (fact.code, fact.estate)
        if fact.wrong is None:
            self._noted.pop(key, None)
            return
        since = self._noted[key].since if key in self._noted else fact.at
        self._noted[key] = Cause(fact.code, fact.estate, since, fact.wrong)

    def silent(self, now: datetime) -> dict[str, datetime]:
        """Return the nodes that are silent for long enough to name their residents, and since when."""
        gone = {node: since for node, since in self._gone.items() if now - since >= coverage.SILENT}
        began = self._listening_since
        if began is None:
            return gone
        unheard = {node: at for node, at in self._heard.items() if now - max(at, began) >= coverage.SILENT}
        return unheard | gone

    def findings(self, estate: str, served_by: Iterable[str], now: datetime) -> Findings:
        """Return what is wrong for an estate.

        Args:
            estate: Which one.
            served_by: Nodes that watch over its residents.
            now: Present time.
        """
        services = liveness.findings(list(self._processes.values()))
        silent = self.silent(now)
        nodes = tuple(Cause("node", node, silent[node]) for node in sorted(silent.keys() & set(served_by)))
        noted = tuple(cause for (_, whose), cause in self._noted.items() if whose in ("", estate))
        return Findings(services.hard, services.soft + nodes + noted)
