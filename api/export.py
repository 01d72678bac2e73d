"""`/export`: everything that is known of a resident, as JSON or as a page to read and print.

Neighbours: `vigil.store.subject` says what that is.  Residents take it themselves from `/me`; staff hand it
out on request, which is written down.  It is collected first and sent then, so that a slow line holds no
connection of the database; what is large waits on the disk, in a file that has no name.
"""

from __future__ import annotations

import html
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from api import own
from api.access import May
from api.auth import SomebodyDep, require
from api.fields import AccountPath, Name
from api.problems import RESPONSES
from api.services import ServicesDep
from vigil.errors import NotFound
from vigil.store import accounts, residents, subject
from vigil.store import own as rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from datetime import datetime

    from vigil.store.pool import Connection
    from vigil.store.subject import Section

router = APIRouter(prefix="/api/v1", tags=["residents' own"], responses=RESPONSES)
IN_MEMORY: Final = 4 * 1024 * 1024
"""Bytes; a month of a home's sensors is some ten times as much."""
_CHUNK: Final = 64 * 1024
Form = Literal["json", "html"]
Language = Literal["en", "zh"]
FormQuery = Annotated[Form, Query(description="`html` is to be read and printed")]
LanguageQuery = Annotated[Language, Query(description="Of the page's headings")]
TITLES: Final = {"en": "Everything that is known of you", "zh": "关于您的全部记录"}
NOTHING: Final = {"en": "Nothing.", "zh": "无记录。"}
_STYLE: Final = "body{font:1.1rem/1.5 sans-serif;max-width:60rem;margin:auto;padding:1rem}td,th{text-align:left;vertical-align:top;padding:.2rem .6rem;border-top:1px solid #bbb;overflow-wrap:anywhere}"


@router.get("/me/{resident}/export")
async def export_own(
    services: ServicesDep,
    identity: SomebodyDep,
    resident: AccountPath,
    form: FormQuery = "json",
    language: LanguageQuery = "zh",
) -> StreamingResponse:
    """Give a resident everything that is known of them."""
    require(identity, May.CONSENT_OWN)
    now = services.clock()
    async with services.scoped(identity) as connection:
        await own.enter(connection, identity, resident, now)
        return await _answer(connection, resident, form, language, now)


@router.get("/residents/{resident}/export")
async def export(
    services: ServicesDep,
    identity: SomebodyDep,
    resident: AccountPath,
    request: Annotated[
        Name, Query(description="Where the resident's request is kept", examples=["letter 26-017"])
    ],
    form: FormQuery = "json",
    language: LanguageQuery = "zh",
) -> StreamingResponse:
    """Give everything that is known of a resident, to be handed to them at their request."""
    require(identity, May.EXPORT)
    now = services.clock()
    async with services.scoped(identity) as connection:
        if await residents.resident(connection, resident, identity.scope) is None:
            raise NotFound("resident", resident)
        await accounts.note_access(connection, resident, identity.actor, "export", f"export:{request}", now)
        return await _answer(connection, resident, form, language, now)


async def _answer(
    connection: Connection, resident: str, form: Form, language: Language, now: datetime
) -> StreamingResponse:
    """Collect everything in the platform's own rights; that the caller may have it was seen before."""
    await rows.act_for_platform(connection)
    kept: IO[bytes] = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed when it is sent
    parts = (
        _as_json(connection, resident, now) if form == "json" else _as_page(connection, resident, language)
    )
    async for part in parts:
        kept.write(part)
    kept.seek(0)
    media = "application/json" if form == "json" else "text/html; charset=utf-8"
    name = f'attachment; filename="vigil-{resident}-{now:%Y%m%d}.{form}"'
    return StreamingResponse(_sent(kept), media_type=media, headers={"Content-Disposition": name})


def _sent(kept: IO[bytes]) -> Iterator[bytes]:
    with kept:
        while chunk := kept.read(_CHUNK):
            yield chunk


async def _as_json(connection: Connection, resident: str, now: datetime) -> AsyncIterator[bytes]:
    yield b'{"resident":' + _json(resident) + b',"made_at":' + _json(now) + b',"sections":{'
    for number, section in enumerate(subject.SECTIONS):
        heading = _json({"en": section.en, "zh": section.zh})
        yield (b"," if number else b"") + _json(section.table) + b':{"title":' + heading + b',"rows":['
        first = True
        async for row in subject.rows(connection, section, resident):
            yield (b"" if first else b",\n") + _json(row)
            first = False
        yield b"]}"
    yield b"}}\n"


async def _as_page(connection: Connection, resident: str, language: Language) -> AsyncIterator[bytes]:
    title = html.escape(TITLES[language])
    head = f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{title}</title>'
    yield f"{head}<style>{_STYLE}</style><h1>{title}</h1>".encode()
    for section in subject.SECTIONS:
        yield f"<h2>{html.escape(section.zh if language == 'zh' else section.en)}</h2>".encode()
        async for part in _table(connection, section, resident, language):
            yield part.encode()


async def _table(
    connection: Connection, section: Section, resident: str, language: Language
) -> AsyncIterator[str]:
    names: list[str] = []
    async for row in subject.rows(connection, section, resident):
        if not names:
            names = list(row)
            yield "<table><tr>" + "".join(f"<th>{html.escape(name)}" for name in names)
        yield "<tr>" + "".join(f"<td>{html.escape(_text(value))}" for value in row.values())
    yield "</table>" if names else f"<p>{NOTHING[language]}</p>"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _json(value).decode().strip('"')


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=str)
