"""Every error of the platform, and what its catcher is to do about it.

The first level of the tree is the instruction: *reject* the input (it will never be
good), *try again* (something else is away), *stop* (somebody else has taken over, or
this process cannot do its work).  The message is built from facts and names the remedy.
"""

from __future__ import annotations


class VigilError(Exception):
    """Whatever the platform itself found wrong."""


class Rejected(VigilError):
    """This input will never be accepted; put it aside with the reason, and go on.

    Attributes:
        reason: A short constant for metrics and dead letters, such as `malformed`.
        detail: One sentence that names the thing and the remedy.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class Unavailable(VigilError):
    """Something this needs is away; try again later, nothing is lost.

    Attributes:
        what: Name of what is away.
    """

    def __init__(self, what: str, why: object) -> None:
        self.what = what
        super().__init__(f"{what} is unavailable ({why}); trying again")


class ProtocolError(Unavailable):
    """The MQTT broker, or what answers in its place, broke the protocol; connect anew.

    Attributes:
        why: What it did.
    """

    def __init__(self, why: str) -> None:
        self.why = f"breaks the protocol: {why}"
        super().__init__("MQTT broker", self.why)


class Stop(VigilError):
    """This process cannot go on; end it with this one line."""


class TooNew(Stop):
    """A newer version has migrated the database; this one must not touch its schema.

    Attributes:
        migrations: Names of those that this version does not know.
    """

    def __init__(self, migrations: list[str]) -> None:
        self.migrations = migrations
        super().__init__(
            f"the database's schema is newer than this version, which does not know {', '.join(migrations)}:"
            " migrate with the version that brought them"
        )


class Misconfigured(Stop):
    """A setting is missing or wrong.

    Attributes:
        variable: The environment variable to put right.
    """

    def __init__(self, variable: str, why: str) -> None:
        self.variable = variable
        super().__init__(f"{variable}: {why}")


class ModelRefused(Stop):
    """A packaged model does not fit this code; its scores would mean nothing."""

    def __init__(self, model: str, why: object) -> None:
        super().__init__(f"the {model} model is refused: {why}")


class Fenced(Stop):
    """A partition's place is not where this writer left it; nothing of this transaction may stand."""

    def __init__(self, topic: str, partition: int, epoch: int) -> None:
        super().__init__(
            f"{topic}/{partition} is not where epoch {epoch} left it: another writer has it, or the database"
            " was restored"
        )


class Stalled(Stop):
    """Nothing has moved although there is something to read; a restart is the remedy."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} has not moved for {seconds:.0f} s with messages waiting; restart")


class Conflict(VigilError):
    """Somebody else changed it first; show the present state and let the person decide.

    Attributes:
        holder: Who has it now, or None.
    """

    def __init__(self, what: str, holder: str | None) -> None:
        self.holder = holder
        super().__init__(f"{what} was changed meanwhile" + (f" by {holder}" if holder else ""))


class NotFound(VigilError):
    """There is no such thing, or the caller may not know of it."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"there is no {what} {name}")
