from __future__ import annotations

import pytest

from vigil import errors
from vigil.errors import (
    Conflict,
    Fenced,
    Misconfigured,
    ModelRefused,
    NotFound,
    Rejected,
    Stalled,
    Stop,
    TooNew,
    Unavailable,
    VigilError,
)

MADE = [
    (Rejected("malformed", "no seq"), "malformed: no seq"),
    (Unavailable("Kafka", "refused"), "Kafka is unavailable (refused); trying again"),
    (Misconfigured("VIGIL_X", "is missing"), "VIGIL_X: is missing"),
    (
        TooNew(["0200_x.sql"]),
        "the database's schema is newer than this version, which does not know 0200_x.sql: migrate with the version that brought them",
    ),
    (ModelRefused("waist", "no manifest"), "the waist model is refused: no manifest"),
    (
        Fenced("vigil.alarm.v1", 3, 7),
        "vigil.alarm.v1/3 is not where epoch 7 left it: another writer has it, or the database was restored",
    ),
    (Stalled("alarm", 31.4), "alarm has not moved for 31 s with messages waiting; restart"),
    (Conflict("alert 1", "person:li"), "alert 1 was changed meanwhile by person:li"),
    (Conflict("alert 1", None), "alert 1 was changed meanwhile"),
    (NotFound("alert", "1"), "there is no alert 1"),
]


@pytest.mark.parametrize(("error", "says"), MADE)
def test_an_error_says_in_one_line_what_is_the_matter(error: VigilError, says: str) -> None:
    assert str(error) == says


def test_every_error_tells_its_catcher_what_to_do() -> None:
    instructions = (Rejected, Unavailable, Stop, Conflict, NotFound)
    for error in vars(errors).values():
        if isinstance(error, type) and error is not VigilError:
            assert issubclass(error, instructions)


def test_what_ends_a_process_is_never_tried_again() -> None:
    assert not issubclass(Stop, Unavailable)
    for error in (Misconfigured, ModelRefused, Fenced, Stalled):
        assert issubclass(error, Stop)
