"""The other watchdog, and the dead man's switch outside.

Place in the flow: facts for `watchdog`.  Two instances look at each other's verdict every 5 s;
a service outside both (Healthchecks or its like) is called while this one turns, so that
somebody is told when both are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx
import msgspec

from fallback.liveness import MISSED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fallback.state import Mode

ANSWER_S: Final = 3.0
HEARTBEAT_S: Final = 60.0


class Said(msgspec.Struct, frozen=True):
    """One estate, as the other instance judges it."""

    mode: str


class Verdicts(msgspec.Struct, frozen=True):
    """What the other instance says (`/verdict.json`)."""

    estates: dict[str, Said]


class Peer:
    """The other instance.

    Args:
        url: Of its page.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/verdict.json"
        self._missed = 0

    async def look(self, client: httpx.AsyncClient, mine: Mapping[str, Mode]) -> str | None:
        """Look once.

        Args:
            client: To ask with.
            mine: Our own verdict on each estate.

        Returns:
            What is wrong, or None: it is silent for three looks, or sees a fallback where we do not.
        """
        try:
            answer = await client.get(self._url, timeout=ANSWER_S)
            answer.raise_for_status()
            said = msgspec.json.decode(answer.content, type=Verdicts)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            self._missed += 1
            return f"no answer ({type(error).__name__})" if self._missed >= MISSED else None
        self._missed = 0
        return disagreement(said, mine)


def disagreement(said: Verdicts, mine: Mapping[str, Mode]) -> str | None:
    """Return where the other instance sees a fallback and we do not."""
    differ = [
        estate
        for estate, mode in sorted(mine.items())
        if estate in said.estates and said.estates[estate].mode == "fallback" and mode != "fallback"
    ]
    return f"sees a fallback in {', '.join(differ)}" if differ else None


async def beat(client: httpx.AsyncClient, url: str) -> str | None:
    """Call the dead man's switch once; returns what is wrong, or None."""
    try:
        answer = await client.get(url, timeout=ANSWER_S)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        # The URL holds a secret, and httpx would print it.
        return type(error).__name__
    return None
