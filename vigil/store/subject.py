"""Everything that is known of a resident, table by table: what they are given when they ask for it.

Neighbour: `api.export` writes it as JSON and as a page.  A test reads the schema, and fails where a table
names residents or alerts and stands neither in `SECTIONS` nor, with the reason, in `EXEMPT`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import LiteralString

    from vigil.store.pool import Connection

AT_ONCE: Final = 500
"""Rows that are fetched at a time."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of what is known.

    Attributes:
        table: Where it stands.
        en: Its heading.
        zh: Its heading.
        query: With `%(resident)s` and `%(now)s`.
    """

    table: str
    en: str
    zh: str
    query: LiteralString


def _sensed(table: LiteralString, en: str, zh: str) -> Section:
    """What devices reported while they were the resident's."""
    query: LiteralString = (
        "SELECT e.time, e.device, e.type, e.data FROM assignment a JOIN "  # noqa: S608 - a name of three below
        + table
        + """ e ON e.device = a.device AND e.time >= a.since AND e.time < a.until
        WHERE a.resident = %(resident)s ORDER BY e.time, e.id"""
    )
    return Section(table, en, zh, query)


SECTIONS: Final = (
    Section(
        "resident",
        "Who you are, and who helps",
        "您的基本情况和帮助您的人",
        """
        SELECT r.id, e.name AS estate, z.building, z.floor, z.name AS home,
               personal(r.id, 'name', k.wrapped, r.name) AS name,
               personal(r.id, 'phone', k.wrapped, r.phone) AS phone, r.flagged, r.risk, r.lives_alone,
               personal(r.id, 'profile', k.wrapped, r.profile::text) AS profile
        FROM resident r JOIN estate e ON e.id = r.estate LEFT JOIN zone z ON z.id = r.home
        LEFT JOIN resident_key k ON k.resident = r.id WHERE r.id = %(resident)s
        """,
    ),
    Section(
        "consent",
        "What you agreed to",
        "您的同意记录",
        """
        SELECT purpose, granted, class, text_version, given_by, guardian, proof, recorded_by,
               nullif(since, '-infinity') AS since, nullif(until, 'infinity') AS until
        FROM consent WHERE resident = %(resident)s ORDER BY consent.since, purpose
        """,
    ),
    Section(
        "assignment",
        "Your devices",
        "您的设备",
        """
        SELECT a.device, d.kind, d.placement, nullif(a.since, '-infinity') AS since, nullif(a.until, 'infinity') AS until
        FROM assignment a JOIN device d ON d.id = a.device WHERE a.resident = %(resident)s ORDER BY a.since
        """,
    ),
    Section(
        "access_log",
        "Who looked, and why",
        "谁查看过、为什么",
        """
        SELECT l.at, l.actor, a.name, a.role, l.purpose, l.what
        FROM access_log l LEFT JOIN account a ON 'person:' || a.id = l.actor
        WHERE l.resident = %(resident)s ORDER BY l.id
        """,
    ),
    Section(
        "alert",
        "Alerts about you",
        "与您有关的告警",
        """
        SELECT id, kind, priority, state, outcome, event_time, raised_at, changed_at, summary
        FROM alert WHERE resident = %(resident)s ORDER BY raised_at
        """,
    ),
    Section(
        "alert_transition",
        "What was done about them",
        "告警的处理过程",
        """
        SELECT t.alert, t.at, t.action, t.to_state, t.actor, t.reason
        FROM alert_transition t JOIN alert a ON a.id = t.alert WHERE a.resident = %(resident)s
        ORDER BY t.alert, t.version
        """,
    ),
    Section(
        "detection",
        "What detectors found",
        "检测结果",
        """
        SELECT id, time, kind, device, score, model, model_version, explanation
        FROM detection WHERE resident = %(resident)s ORDER BY time
        """,
    ),
    Section(
        "resident_answer",
        "What you answered",
        "您的答复",
        """
        SELECT w.alert, w.at, w.answer FROM resident_answer w JOIN alert a ON a.id = w.alert
        WHERE a.resident = %(resident)s ORDER BY w.at
        """,
    ),
    Section(
        "task",
        "Visits",
        "上门任务",
        """
        SELECT t.id, t.alert, t.state, t.stage, t.outcome, t.note, t.given_at, t.changed_at
        FROM task t JOIN alert a ON a.id = t.alert WHERE a.resident = %(resident)s ORDER BY t.given_at
        """,
    ),
    Section(
        "task_report",
        "What was reported of the visits",
        "上门报告",
        """
        SELECT r.task, r.at, r.what, r.note FROM task_report r JOIN task t ON t.id = r.task
        JOIN alert a ON a.id = t.alert WHERE a.resident = %(resident)s ORDER BY r.at
        """,
    ),
    Section(
        "hand_up",
        "What was handed to the street's centre",
        "上报街道的内容",
        """
        SELECT h.alert, h.made_at, h.reason, h.taken_at,
               personal(a.resident, 'hand_up', k.wrapped, h.document::text) AS document
        FROM hand_up h JOIN alert a ON a.id = h.alert LEFT JOIN resident_key k ON k.resident = a.resident
        WHERE a.resident = %(resident)s ORDER BY h.made_at
        """,
    ),
    Section(
        "alert_resident",
        "When nothing watched over you",
        "设备中断期间",
        "SELECT alert, since, until FROM alert_resident WHERE resident = %(resident)s ORDER BY since",
    ),
    Section(
        "evidence_frame",
        "Pictures that were kept (without the pictures)",
        "保存过的画面（不含画面本身）",
        "SELECT id, device, received_at FROM evidence_frame WHERE %(resident)s = ANY (residents) ORDER BY received_at",
    ),
    Section(
        "missed",
        "What was missed",
        "漏报记录",
        """
        SELECT kind, happened_at, found_at, how_found, note, cause FROM missed
        WHERE resident = %(resident)s ORDER BY happened_at
        """,
    ),
    Section(
        "sheet_note",
        "Notes while the platform was away",
        "平台中断时的记录",
        """
        SELECT what, note, actor, written_at, received_at FROM sheet_note
        WHERE resident = %(resident)s ORDER BY written_at
        """,
    ),
    Section(
        "neighbourhood_report",
        "What you reported",
        "您反映的问题",
        """
        SELECT kind, words, made_by, made_at FROM neighbourhood_report WHERE resident = %(resident)s ORDER BY made_at
        """,
    ),
    Section(
        "account_resident",
        "Accounts that may see you here",
        "可以查看您的账户",
        """
        SELECT x.account, a.name, a.phone, x.relation, x.made_by, x.made_at
        FROM account_resident x JOIN account a ON a.id = x.account WHERE x.resident = %(resident)s ORDER BY x.made_at
        """,
    ),
    Section(
        "register_change",
        "Changes of your record",
        "登记变更",
        """
        SELECT c.at, c.thing, c.action, c.actor, personal(c.thing_id, 'register_change', k.wrapped, c.before::text) AS before,
               personal(c.thing_id, 'register_change', k.wrapped, c.after::text) AS after
        FROM register_change c LEFT JOIN resident_key k ON k.resident = c.thing_id
        WHERE c.thing IN ('resident', 'helpers', 'profile') AND c.thing_id = %(resident)s ORDER BY c.id
        """,
    ),
    Section(
        "break_glass",
        "Emergency looks",
        "紧急查看",
        """
        SELECT g.at, g.until, g.actor, a.name, g.reason FROM break_glass g
        LEFT JOIN account a ON g.actor = 'person:' || a.id WHERE g.resident = %(resident)s ORDER BY g.at
        """,
    ),
    Section(
        "access_case",
        "What was looked into about who looked",
        "查看记录的核查",
        """
        SELECT kind, about, opened_at, outcome, note, closed_at FROM access_case
        WHERE resident = %(resident)s ORDER BY opened_at
        """,
    ),
    Section(
        "erasure",
        "Requests to erase",
        "删除申请",
        """
        SELECT request, asked_by, asked_at, withdrawn_at, done_at FROM erasure
        WHERE resident = %(resident)s ORDER BY asked_at
        """,
    ),
    Section(
        "detector_state",
        "What detectors remember of you",
        "检测器记住的内容",
        """
        SELECT detector, subject, state, changed_at FROM detector_state
        WHERE subject = 'resident:' || %(resident)s OR right(subject, length(%(resident)s) + 10) = '/resident:' || %(resident)s
        """,
    ),
    Section(
        "resident_activity_hourly",
        "Activity by the hour",
        "每小时活动",
        "SELECT * FROM resident_activity_hourly WHERE resident = %(resident)s ORDER BY hour",
    ),
    _sensed("event", "What your devices reported", "设备上报的事件"),
    _sensed("telemetry", "What your devices measured", "设备测量值"),
    _sensed("health", "How your devices were", "设备状态"),
)

EXEMPT: Final[dict[str, str]] = {
    "resident_key": "a key that opens what is given here in clear",
    "alert_evidence": "ties alerts to detections, both of which are given",
    "alert_offer": "between colleagues: who takes an alert over",
    "escalation": "which colleague is told next",
    "notice": "which colleague was told through which of their own contacts",
    "alert_step": "times and kinds, without anybody's id",
}
"""Tables that name residents or alerts and are not given, with the reason."""


async def rows(connection: Connection, section: Section, resident: str) -> AsyncIterator[dict[str, Any]]:
    """Give a section row by row, however long it is.

    Args:
        connection: In a transaction, in rights that reach the section's tables.
        section: Which.
        resident: Of whom.
    """
    async with connection.cursor(name="export", row_factory=dict_row) as cursor:
        cursor.itersize = AT_ONCE
        await cursor.execute(section.query, {"resident": resident})
        async for row in cursor:
            yield row
