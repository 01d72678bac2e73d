"""`/api/v1/residents/{resident}/consents`: what a resident agrees to, written down by staff with the proof.

Neighbours: `vigil.store.consents` keeps it, `api.own` lets residents change their own, `api.console.catalogue`
holds the texts that were agreed to.  Processors ask the register before they store or score; a withdrawal
reaches them with their next batch.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.console.catalogue import HTML_LANGUAGE, LANGUAGES, translator
from api.fields import AccountPath, Body, Moment, Name
from api.once import Done, WriteDep
from api.problems import RESPONSES, Invalid
from api.services import ServicesDep
from vigil.errors import NotFound, Rejected
from vigil.store import accounts, consents, residents
from vigil.store.consents import CLASS_OF, Purpose, Word

if TYPE_CHECKING:
    from vigil.store.pool import Connection
    from vigil.store.residents import ResidentRow

router = APIRouter(prefix="/api/v1/residents", tags=["consents"], responses=RESPONSES)
TEXT_VERSION: Final = "2026-11"
"""Of the texts `consent.text.*` in the catalogues, in all languages; a test holds it to them."""
SHOWN: Final = 100
"""Words of the history that are shown."""
PurposePath = Annotated[Purpose, Path(examples=["home_camera"])]


class ConsentBody(Body):
    """One's word on a purpose, given to the text that was shown."""

    granted: bool
    text_version: str = Field(max_length=32, examples=[TEXT_VERSION])
    until: Moment | None = None


class TakenBody(ConsentBody):
    """A word that staff write down, and where its proof is kept."""

    given_by: Literal["self", "guardian"]
    guardian: Name | None = Field(None, examples=["张伟"])
    proof: Name = Field(examples=["paper 2026-0117, cabinet 3"])


class ConsentView(BaseModel):
    """What counts now for a purpose.

    Attributes:
        granted: False where there is no word, or a withdrawal.
        kind: `sensitive` or `sharing`: why it is asked for by itself.
        text: What is agreed to, by language.
        instead: What helps without it, by language.
        since: None where there is no word.
        withdrawn: It had been given, or was refused, in words.
    """

    purpose: Purpose
    granted: bool
    kind: str
    text: dict[str, str]
    text_version: str
    instead: dict[str, str]
    given_by: str | None
    guardian: str | None
    proof: str | None
    since: datetime | None
    until: datetime | None
    withdrawn: bool


class WordView(BaseModel):
    """One word of the history."""

    purpose: str
    granted: bool
    text_version: str
    given_by: str
    guardian: str | None
    proof: str | None
    since: datetime | None
    until: datetime | None


class ConsentsView(BaseModel):
    """What counts now for each purpose, and every word that was said, the latest first."""

    now: list[ConsentView]
    history: list[WordView]


@router.get("/{resident}/consents")
async def list_consents(services: ServicesDep, identity: SomebodyDep, resident: AccountPath) -> ConsentsView:
    """Say what a resident agrees to; the look is written down."""
    require(identity, May.SEE_HELPERS)
    now = services.clock()
    async with services.scoped(identity) as connection:
        await _found(connection, identity, resident)
        await accounts.note_access(connection, resident, identity.actor, "care", "consents", now)
        return await read(connection, resident, now)


@router.put("/{resident}/consents/{purpose}", response_model=ConsentView)
async def take_consent(
    write: WriteDep, identity: SomebodyDep, resident: AccountPath, purpose: PurposePath, body: TakenBody
) -> Response:
    """Write down what a resident, or whoever may decide for them, has agreed to or withdrawn."""
    require(identity, May.TAKE_CONSENTS)
    if (body.given_by == "guardian") != (body.guardian is not None):
        raise Invalid("/body/guardian", "name the guardian where one has decided, and only there")

    async def do(connection: Connection) -> Done:
        await _found(connection, identity, resident)
        now = write.services.clock()
        await accounts.note_access(connection, resident, identity.actor, "care", "consents", now)
        proven = Proven(given_by=body.given_by, guardian=body.guardian, proof=body.proof)
        return Done(await change(connection, resident, purpose, body, proven, identity.actor, now))

    return await write(do)


class Proven(Body):
    """Whose word it is, and where the proof is kept."""

    given_by: str
    guardian: str | None = None
    proof: str | None = None


async def change(
    connection: Connection,
    resident: str,
    purpose: Purpose,
    body: ConsentBody,
    proven: Proven,
    actor: str,
    now: datetime,
) -> ConsentView:
    """Write a word down; it counts from now on.

    Raises:
        Rejected: `text_changed`: the text that was shown is not the one of today.
        Invalid: It would end before it begins.
    """
    if body.granted and body.text_version != TEXT_VERSION:
        raise Rejected("text_changed", "the text has been changed; read the present one and decide again")
    if body.until is not None and (body.until <= now or not body.granted):
        raise Invalid("/body/until", "a consent may end later than now; a withdrawal has no end")
    word = Word(
        purpose=purpose,
        granted=body.granted,
        class_=CLASS_OF[purpose],
        text_version=body.text_version,
        given_by=proven.given_by,
        guardian=proven.guardian,
        proof=proven.proof,
        recorded_by=actor,
        since=None,
        until=body.until,
    )
    await consents.record(connection, resident, word, now)
    return _view(purpose, (await consents.in_force(connection, resident, now)).get(purpose))


async def read(connection: Connection, resident: str, now: datetime) -> ConsentsView:
    """Return what a resident agrees to."""
    known = await consents.in_force(connection, resident, now)
    said = await consents.history(connection, resident, SHOWN)
    return ConsentsView(
        now=[_view(purpose, known.get(purpose)) for purpose in Purpose],
        history=[WordView.model_validate(word, from_attributes=True) for word in said],
    )


def _view(purpose: Purpose, word: Word | None) -> ConsentView:
    return ConsentView(
        purpose=purpose,
        granted=word is not None and word.granted,
        kind=CLASS_OF[purpose],
        text=_said(f"consent.text.{purpose}"),
        text_version=TEXT_VERSION,
        instead=_said(f"consent.instead.{purpose}"),
        given_by=word.given_by if word else None,
        guardian=word.guardian if word else None,
        proof=word.proof if word else None,
        since=word.since if word else None,
        until=word.until if word else None,
        withdrawn=word is not None and not word.granted,
    )


def _said(key: str) -> dict[str, str]:
    return {HTML_LANGUAGE[language]: translator(language)(key) for language in LANGUAGES}


async def _found(connection: Connection, identity: Identity, resident: str) -> ResidentRow:
    found = await residents.resident(connection, resident, identity.scope)
    if found is None:
        raise NotFound("resident", resident)
    return found
