"""Cursors: where a page ended, opaque to the caller.  Pure.

Neighbours: every listing.  A cursor holds the last item's key, so that what is added or
removed meanwhile neither repeats nor hides an item that stays.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel, Field

from api.fields import LARGEST_ID
from vigil.errors import Rejected

T = TypeVar("T")
K = TypeVar("K")
S = TypeVar("S")


class Page(BaseModel, Generic[T]):
    """A page of a listing.

    Attributes:
        next: Cursor of the next page; None on the last one.
    """

    items: list[T]
    next: str | None = Field(examples=["WzQyXQ"])


def cursor(key: Any) -> str:
    """Write a key as a cursor."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def position(text: str | None, kind: type[K], start: S) -> K | S:
    """Read a cursor; without one a listing begins at `start`.

    Raises:
        Rejected: `invalid`; it is none of ours.
    """
    if text is None:
        return start
    try:
        key = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        key = None
    if key is None or (isinstance(key, int) and not 0 <= key <= LARGEST_ID) or _is_odd(key):
        raise Rejected("invalid", "cursor: pass `next` of the page before as it came")
    return key


def _is_odd(key: Any) -> bool:
    """Whether a key holds what PostgreSQL cannot take: text that is none, times of no calendar of ours."""
    if isinstance(key, tuple):
        return any(map(_is_odd, key))
    if isinstance(key, datetime):
        return not 2000 <= key.year <= 2100 or key.tzinfo is None
    return isinstance(key, str) and (not key.isprintable() or len(key) > 200)


def page(items: list[T], limit: int, keys: list[Any]) -> tuple[list[T], str | None]:
    """Cut a list that was read with one item more than the page has.

    Args:
        items: Up to `limit` + 1.
        limit: Items of the page.
        keys: The key of each item.

    Returns:
        The page's items, and the cursor of the next page.
    """
    return items[:limit], cursor(keys[limit - 1]) if len(items) > limit else None
