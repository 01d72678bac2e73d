"""Who may do what in the database: a role per process, grants per table, row-level security.

`vigil.store.migrations` calls `put` after the last migration, so that a table that any of them has
added is covered, whatever its number.  Everything here is repeatable and changes only what lacks.

Rules
-----
1. A process works as its role (`vigil.store.pool.ProcessRole`), which owns nothing and bypasses
   nothing.  Its login is a member of it (`vigil.store.logins`); the owner of the schema is one too,
   and migrates.
2. `vigil_people` is whoever uses the API.  It sees rows of the estates that its transaction has
   set (`vigil.estates`), and none where it has set nothing.
3. The other roles work for nobody in particular: each guarded table has a policy that names them.
   Row-level security is forced, so that the owner, too, needs its name in a policy.
4. Hypertables are not guarded (a compressed one cannot be): `vigil_people` reaches them through the
   checking functions of 0150 alone.
5. What is written once is never changed: there the API's roles may add and read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from vigil.errors import Stop
from vigil.store.pool import ProcessRole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import LiteralString

    from vigil.store.pool import Connection

_ESTATE: Final = "((SELECT '*' = ANY (scope_estates())) OR {column} = ANY ((SELECT scope_estates())::text[]))"
"""The sub-selects are run once a query; the comparison can use an index."""


def _estate(column: LiteralString = "estate") -> LiteralString:
    return _ESTATE.replace("{column}", column)


def _through(table: LiteralString, column: LiteralString) -> LiteralString:
    """Visible with the row it belongs to, whose own policy is asked."""
    return f"EXISTS (SELECT FROM {table} x WHERE x.id = {column})"


_OF_ALERT: Final = _through("alert", "alert")
_OF_RESIDENT: Final = _through("resident", "resident")

GUARDED: Final[dict[str, LiteralString]] = {
    "resident": _estate(),
    "zone": _estate(),
    "estate_plan": _estate(),
    "building": _estate(),
    "detection": _estate(),
    "missed": _estate(),
    "alert": _estate(),
    "task": _estate(),
    "hand_up": _estate(),
    "alert_transition": _OF_ALERT,
    "alert_evidence": _OF_ALERT,
    "alert_resident": _OF_ALERT,
    "alert_offer": _OF_ALERT,
    "escalation": _OF_ALERT,
    "notice": _OF_ALERT,
    "resident_answer": _OF_ALERT,
    "task_report": _through("task", "task"),
    "consent": _OF_RESIDENT,
    "assignment": _OF_RESIDENT,
    "resident_key": _OF_RESIDENT,
    "access_log": _OF_RESIDENT,
    "sheet_note": f"resident IS NULL OR {_OF_RESIDENT}",
    "device_place": _through("zone", "zone"),
    "evidence_frame": f"EXISTS (SELECT FROM node n WHERE n.id = node AND {_estate('n.estate')})",
    "register_change": f"estate IS NULL OR {_estate()}",
    "account_resident": _OF_RESIDENT,
    "neighbourhood_report": _estate(),
    "erasure": _OF_RESIDENT,
    "break_glass": _OF_RESIDENT,
    "access_case": _estate(),
    **dict.fromkeys(
        ("device_condition", "node_config", "node_config_state", "node_config_answer", "node_command"),
        f"EXISTS (SELECT FROM node n WHERE n.id = node AND {_estate('n.estate')})",
    ),
}
"""Table -> which of its rows somebody with a scope may see, add and change."""


def _mine(column: LiteralString = "resident") -> LiteralString:
    return "{column} = ANY ((SELECT scope_residents())::text[])".replace("{column}", column)


OWN: Final[dict[str, LiteralString]] = {
    "resident": _mine("id"),
    "zone": "id = ANY ((SELECT scope_homes())::text[])",
    **dict.fromkeys(("alert", "neighbourhood_report"), _mine()),
    "access_case": f"kind = 'break_glass' AND {_mine()}",
    "task": "(SELECT scope_residents()) IS NOT NULL"
    " AND EXISTS (SELECT FROM neighbourhood_report n WHERE n.task = task.id)",
}
"""Table -> which of its rows residents and families may also see, and not change: their own, in a
transaction that has set `vigil.residents` (0191).  What is visible through one of these follows it."""

OPEN: Final[dict[str, str]] = {
    "community": "names of places, which every page shows",
    "estate": "names of places, which every page shows",
    "node": "opaque ids of boxes; a claim's code has no scope yet",
    "device": "opaque ids of sensors; whose they are stands in assignment",
    "account": "signing in reads it before anybody's scope is known; lists are filtered by the API",
    "session": "signing in",
    "api_token": "signing in",
    "personal_token": "signing in",
    "second_factor": "signing in",
    "recovery_code": "signing in",
    "account_identity": "signing in",
    "contact": "staff's, not residents'; the API lets only the owner and leaders at it",
    "beat": "staff's duty",
    "shift": "staff's duty",
    "cover": "staff's duty",
    "leave": "staff's duty",
    "alert_step": "times and kinds of alerts: no person's data; the API filters by estates",
    "push_subscription": "staff's own browsers; the API lets only the owner at them",
    "calendar_feed": "staff's duty; a calendar proves by its address which row is its own",
    "policy": "how alerts are escalated: no person's data",
    "drill": "when people practise: no person's data",
    "webhook": "programs of the community; the API filters by estates",
    "detector_mode": "which detector may alert: no person's data",
    "claim": "boxes' certificates",
    "certificate": "boxes' certificates",
}
"""Tables that name an estate, a node or an account and are not guarded, with the reason."""

_EVERYTHING: Final = "SELECT, INSERT, UPDATE, DELETE"
_HYPERTABLES: Final = ("event", "telemetry", "health")
_APPENDED: Final = (
    *("alert_transition", "access_log", "task_report", "resident_answer", "register_change"),
    *("handover_check", "handover_note"),
    *("node_config", "node_command"),
)
_PIPELINE: Final = (
    *("implausible", "dead_letter", "withheld", "shed", "watermark", "closed_boot"),
    *("checkpoint", "detector_state"),
    *("deadline", "device_activity_hourly", "device_uptime_hourly"),
    *("resident_activity_hourly", "alert_burden_hourly", "gap"),
)
_SECRETS: Final = (
    *(
        "session",
        "api_token",
        "personal_token",
        "second_factor",
        "recovery_code",
        "account_identity",
        "contact",
    ),
    *("webhook", "answered", "claim", "claim_attempt", "certificate", "access_log", "resident_answer"),
    *("resident_key", "account_resident", "neighbourhood_report", "push_subscription"),
)
_AUDIT: Final = ("audit_waiting", "audit_log", "audit_checkpoint")
LESS: Final[dict[ProcessRole, dict[str, LiteralString]]] = {
    ProcessRole.PEOPLE: {
        **dict.fromkeys((*_HYPERTABLES, *_PIPELINE), ""),
        **dict.fromkeys(_APPENDED, "SELECT, INSERT"),
        **dict.fromkeys(("alert", "detection"), "SELECT, INSERT, UPDATE"),
        **dict.fromkeys(("retention", "heartbeat"), "SELECT"),
        "resident_key": "SELECT, INSERT",
    },
    ProcessRole.API: {
        **dict.fromkeys(_HYPERTABLES, "SELECT"),
        **dict.fromkeys(_APPENDED, "SELECT, INSERT"),
    },
    ProcessRole.PROCESSORS: dict.fromkeys(_SECRETS, ""),
    ProcessRole.INGEST: {
        **dict.fromkeys(_SECRETS, ""),
        **dict.fromkeys(("resident", "account", "alert", "task", "hand_up", "notice"), "SELECT"),
    },
}
"""Where a role has less than everything on a table or view."""
_TRIMMING: Final = ("trim_events", "trim_canary_events", "trim_canary_alerts", "trim_aggregates")
_ACTING: Final = ("reseal_change", "erase_written")
"""Functions that change what is written once, each in one way alone: for the API, not for people's requests."""
_CHECKING: Final = (
    "event_of",
    "heard_in",
    "heard_of",
    "withheld_of",
    "own_residents",
    "uptime_in",
    "uptime_worst",
)
EXECUTES: Final[dict[ProcessRole, tuple[str, ...]]] = {
    ProcessRole.PEOPLE: _CHECKING,
    ProcessRole.API: (*_CHECKING, *_TRIMMING, *_ACTING),
    ProcessRole.PROCESSORS: _CHECKING,
}
"""Functions of the owner's rights that a role may call."""

_MAKE_ROLES: Final = """
    DO $$
    DECLARE
        name text;
        may_set text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    BEGIN
        FOREACH name IN ARRAY ARRAY['vigil_people', 'vigil_api', 'vigil_processors', 'vigil_ingest'] LOOP
            BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
                    EXECUTE format('CREATE ROLE %I NOLOGIN', name);
                END IF;
                IF NOT pg_has_role(current_user, name, may_set) THEN
                    EXECUTE format('GRANT %I TO CURRENT_USER', name);
                END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation OR internal_error THEN
                NULL;  -- another database of this server is migrated at the same time
            END;
        END LOOP;
    END $$
"""
_FUNCTIONS: Final = "SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
_TABLES: Final = """
    SELECT relname FROM pg_class
    WHERE relkind IN ('r', 'p', 'v') AND relnamespace = current_schema()::regnamespace AND relname <> 'migration'
"""
_GUARDED: Final = """
    SELECT c.relname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
    WHERE c.relnamespace = current_schema()::regnamespace AND p.polname = 'scope'
"""
_OWNED: Final = """
    SELECT c.relname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
    WHERE c.relnamespace = current_schema()::regnamespace AND p.polname = 'own'
"""


async def put(connection: Connection) -> None:
    """Bring roles, grants and policies up to date.

    Args:
        connection: The owner's, in autocommit; it may create roles, or they are there and it is a
            member of each.

    Raises:
        Stop: It may not create the roles.
        psycopg.errors.LockNotAvailable: Somebody holds a table; nothing of it was changed.
    """
    try:
        await connection.execute(_MAKE_ROLES)
    except psycopg.errors.InsufficientPrivilege as error:
        why = "a superuser has to create them NOLOGIN and grant them to the schema's owner"
        raise Stop(f"the roles {', '.join(ProcessRole)} cannot be made: {why}") from error
    tables, functions = await _names(connection, _TABLES), await _names(connection, _FUNCTIONS)
    async with connection.transaction():
        for role in ProcessRole:
            await connection.execute(_grants(role, tables, functions))
    guards = [_guard(table) for table in sorted(set(GUARDED) & tables - await _names(connection, _GUARDED))]
    guards += [_show_own(table) for table in sorted(set(OWN) & tables - await _names(connection, _OWNED))]
    for guard in guards:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '2s'")
            await connection.execute(guard)


async def _names(connection: Connection, query: LiteralString) -> set[str]:
    return {name for (name,) in await (await connection.execute(query)).fetchall()}


def _grants(role: ProcessRole, tables: Iterable[str], functions: set[str]) -> Composed:
    less, to = LESS[role], Identifier(role)
    statements: list[Composed] = []
    for table in sorted(tables):
        on = Identifier(table)
        if table in less:
            statements.append(SQL("REVOKE ALL ON {} FROM {}").format(on, to))
        if allowed := less.get(table, _EVERYTHING):
            rights = SQL(", ").join(SQL(word) for word in allowed.split(", "))
            statements.append(SQL("GRANT {} ON {} TO {}").format(rights, on, to))
    statements.append(SQL("GRANT SELECT ON migration TO {}").format(to))
    statements.append(SQL("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}").format(to))
    statements.append(SQL("GRANT USAGE ON SCHEMA public TO {}").format(to))
    called = map(Identifier, sorted(set(EXECUTES.get(role, ())) & functions))
    statements += [SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(name, to) for name in called]
    return SQL("; ").join(statements)


def _guard(table: str) -> Composed:
    """Force row-level security on a table: one policy for people, one that names everybody else."""
    on, visible = Identifier(table), SQL(GUARDED[table])
    others = SQL(", ").join(Identifier(role) for role in ProcessRole if role is not ProcessRole.PEOPLE)
    return SQL("""
        ALTER TABLE {on} ENABLE ROW LEVEL SECURITY;
        ALTER TABLE {on} FORCE ROW LEVEL SECURITY;
        CREATE POLICY scope ON {on} TO {people} USING ({visible}) WITH CHECK ({visible});
        CREATE POLICY platform ON {on} TO {others}, CURRENT_USER USING (true) WITH CHECK (true);
    """).format(on=on, people=Identifier(ProcessRole.PEOPLE), others=others, visible=visible)


def _show_own(table: str) -> Composed:
    """Let people see what is their own of a guarded table."""
    return SQL("CREATE POLICY own ON {} FOR SELECT TO {} USING ({})").format(
        Identifier(table), Identifier(ProcessRole.PEOPLE), SQL(OWN[table])
    )
