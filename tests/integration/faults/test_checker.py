"""The count of `make faults` must be able to fail: losses and duplicates are planted here."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest

from tests.faults.checker import check

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration
BOOT = "1-0badcafe"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A spool that has given out alarms 1 to 3 and readings 1 and 2."""
    path = tmp_path / "box.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE accepted (boot TEXT, lane TEXT, last INTEGER, stored INTEGER)")
        db.executemany(
            "INSERT INTO accepted VALUES (?, ?, ?, 0)", [(BOOT, "alarm", 3), (BOOT, "telemetry", 2)]
        )
    db.close()
    return path


def put(dsn: str, statement: LiteralString, *values: object) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement, values)


def store(dsn: str, lane: str, seq: int) -> None:
    put(
        dsn,
        "INSERT INTO event (time, id, node, device, type, boot, lane, seq, received_at, clock, data)"
        " VALUES (now(), gen_random_uuid(), 'box', 'd', 't', %s, %s, %s, now(), 'synced', '{}')",
        BOOT,
        lane,
        seq,
    )


def everything_ends(dsn: str) -> None:
    """One alarm stored, one dead, one withheld; both readings shed."""
    store(dsn, "alarm", 1)
    put(
        dsn,
        "INSERT INTO dead_letter (id, reason, detail, origin, payload, node, boot, lane, seq, at)"
        " VALUES (gen_random_uuid(), 'malformed', '', '', '', 'box', %s, 'alarm', 2, now())",
        BOOT,
    )
    put(dsn, "INSERT INTO withheld VALUES (gen_random_uuid(), 'box', %s, 'alarm', 3, 'falls', now())", BOOT)
    put(dsn, "INSERT INTO shed VALUES ('box', %s, 'telemetry', 'spool_full', '{[1,2]}')", BOOT)


def test_every_number_that_ended_once_is_counted_as_what_it_became(database: str, spool: Path) -> None:
    everything_ends(database)
    account = check({"box": spool}, database)
    assert account.adds_up
    assert account.accepted == 5
    assert account.ends == {"stored": 1, "dead": 1, "withheld": 1, "shed": 2}


def test_a_planted_loss_is_found(database: str, spool: Path) -> None:
    everything_ends(database)
    put(database, "DELETE FROM event")
    account = check({"box": spool}, database)
    assert not account.adds_up
    assert account.lost == [("box", BOOT, "alarm", 1)]


def test_a_planted_duplicate_is_found(database: str, spool: Path) -> None:
    everything_ends(database)
    store(database, "alarm", 1)
    account = check({"box": spool}, database)
    assert not account.adds_up
    assert account.twice == [("box", BOOT, "alarm", 1)]


def test_a_number_that_ended_as_two_things_is_found(database: str, spool: Path) -> None:
    everything_ends(database)
    store(database, "telemetry", 2)
    assert check({"box": spool}, database).twice == [("box", BOOT, "telemetry", 2)]


def test_a_row_that_no_spool_has_given_out_is_found(database: str, spool: Path) -> None:
    everything_ends(database)
    store(database, "alarm", 9)
    account = check({"box": spool}, database)
    assert not account.adds_up
    assert account.unknown == [("box", BOOT, "alarm", 9)]


def test_an_effect_that_took_place_twice_is_found(database: str, spool: Path) -> None:
    everything_ends(database)
    for _ in range(2):
        put(
            database,
            "INSERT INTO detection (id, event, time, kind, subject, estate, device, score, model,"
            " model_version, explanation, made_at) SELECT gen_random_uuid(), id, now(), 'fall', 's', 'e', 'd',"
            " 1, 'm', '1', '{}', now() FROM event",
        )
    account = check({"box": spool}, database)
    assert account.effects_twice == 1
    assert not account.adds_up
