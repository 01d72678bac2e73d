"""`docs/reference/api.md`, made of the OpenAPI document and the table of permissions.

`python -m api.reference > docs/reference/api.md`; a test compares the two.  Shapes and examples
are in the document itself (`/api/v1/openapi.json`), which any viewer of OpenAPI shows.
"""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, cast

from api.app import create_app
from api.permissions import ROUTES, Need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.services import Services

_HEAD: Final = """# The API

Made by `python -m api.reference`; every shape, with examples, is in `/api/v1/openapi.json`.

- **Who asks**: a session (cookie, and `X-CSRF-Token` with every change) or a bearer token. *Needs* names the permission; [roles.md](roles.md) says who has which.
- **Errors** are problems (RFC 9457, `application/problem+json`): `type`, `title`, `status`, `detail` with the remedy, and with 422 `errors`, each with the `pointer` to the field.
- **Lists** come in pages: `items` and `next`, which is passed as `cursor`.
- **Changes** name the version that was seen (`If-Match` with the `ETag`): 428 without, 412 where somebody was faster.
- **Writes** may carry an `Idempotency-Key`: within 24 h a repeat gets the first answer again.
- **The live stream** (`/api/v1/stream`, SSE) goes on after `Last-Event-ID`.
"""


def page() -> str:
    """Return the page."""
    # Only the document is asked for: nothing is served, and no service is touched.
    document = create_app(cast("Services", None)).openapi()
    parts = [_HEAD]
    for tag, rows in groupby(sorted(_rows(document)), key=lambda row: row[0]):
        parts += [f"\n## {tag}\n\n| route | what | needs |\n|---|---|---|\n"]
        parts += [f"| `{method} {path}` | {what} | {need} |\n" for _, path, method, what, need in rows]
    return "".join(parts)


def _rows(document: dict[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield tag, path, method, first sentence and need of every operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            name = f"{method.upper()} {path}"
            what = operation["description"].partition("\n")[0].replace("|", "\\|")
            yield operation["tags"][0], path, method.upper(), what, _need(ROUTES[name])


def _need(need: Need) -> str:
    every = need if isinstance(need, tuple) else (need,)
    return " and ".join(f"`{one.value}`" for one in every)


if __name__ == "__main__":
    sys.stdout.write(page())
