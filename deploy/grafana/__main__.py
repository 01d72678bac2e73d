"""`python -m deploy.grafana`: write the dashboards that Grafana is provisioned with; a test compares.

Neighbours: `deploy.prometheus` knows the metrics that stand in the queries, `deploy/grafana/
provisioning` tells Grafana where the files are.  Five boards: what an ops team looks at first, then the
way of an event, the boxes, alerts and what they ask of people, and the fallback.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "dashboards"
SOURCE: Final = {"type": "prometheus", "uid": "vigil"}
COLUMNS: Final = 24
HEIGHT: Final = 7


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture.

    Attributes:
        title: A question that it answers.
        queries: PromQL, by legend.
        unit: Grafana's name of it.
        kind: `timeseries`, `stat` or `table`.
        bad: From this value on it is red; None has no threshold.
        width: Columns of `COLUMNS`.
    """

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    bad: float | None = None
    width: int = 8


def stat(title: str, query: str, unit: str = "short", bad: float | None = 1, width: int = 4) -> Panel:
    """Return one large number."""
    return Panel(title, {"": query}, unit, "stat", bad, width)


def p99(metric: str, by: str = "", where: str = "") -> str:
    """Return the query for the 99th percentile of a histogram."""
    group = f"le, {by}" if by else "le"
    return f"histogram_quantile(0.99, sum by ({group}) (rate({metric}_bucket{where}[$__rate_interval])))"


FIRING: Final = Panel(
    "What is wrong now",
    {"{{alertname}}": 'ALERTS{alertstate="firing", alertname!="VigilHeartbeat"}'},
    kind="table",
    width=24,
)
BOARDS: Final[dict[str, tuple[str, tuple[Panel, ...]]]] = {
    "glance": (
        "Vigil: one glance",
        (
            stat("Alerts that wait, critical", 'max(vigil_alerts_waiting{priority="critical"})'),
            stat("Residents unprotected", "sum(vigil_residents_unprotected)"),
            stat("Estates in fallback", 'sum(vigil_fallback_mode{mode="fallback"})'),
            stat("Boxes offline", 'max(vigil_nodes{state="offline"})'),
            stat("Events missing", "sum(vigil_ingest_missing)"),
            stat("Oldest waiting alert", "max(vigil_alert_waiting_seconds)", "s", 180),
            FIRING,
            Panel("Are the rooms up?", {"{{job}}": 'sum by (job) (up{job=~"vigil-.*"})'}),
            Panel(
                "How late are alarms decided on (p99)?",
                {"{{lane}}": p99("vigil_event_age_seconds", "lane")},
                "s",
                bad=5,
            ),
            Panel(
                "Do canaries come through?",
                {"{{judgement}}": "sum by (judgement) (rate(vigil_canary_total[$__rate_interval]))"},
                "cps",
            ),
        ),
    ),
    "pipeline": (
        "Vigil: the way of an event",
        (
            Panel(
                "What comes in?",
                {"{{topic}}": "sum by (topic) (rate(vigil_ingest_messages_total[$__rate_interval]))"},
                "cps",
            ),
            Panel(
                "What is stored?",
                {"{{lane}}": "sum by (lane) (rate(vigil_events_stored_total[$__rate_interval]))"},
                "cps",
            ),
            Panel(
                "How old is an event when it is decided on (p99)?",
                {"{{lane}}": p99("vigil_event_age_seconds", "lane")},
                "s",
                bad=5,
            ),
            Panel(
                "How long does a batch take (p99)?",
                {
                    "ingest, to Kafka's word": p99("vigil_ingest_batch_seconds"),
                    "{{pipeline}}, to the commit": p99("vigil_pipeline_batch_seconds", "pipeline"),
                },
                "s",
            ),
            Panel("What waits in the log?", {"{{pipeline}}": "sum by (pipeline) (vigil_pipeline_lag_records)"}),
            Panel(
                "Does the event loop get to its work (p99)?",
                {"{{job}}": p99("vigil_loop_lag_seconds", "job")},
                "s",
                bad=0.5,
            ),
            Panel(
                "What is no event?",
                {
                    "dead: {{reason}}": "sum by (reason) (increase(vigil_events_dead_total[$__rate_interval]))",
                    "withheld: {{purpose}}": "sum by (purpose) (increase(vigil_events_withheld_total[$__rate_interval]))",
                    "sent again": "sum(increase(vigil_events_duplicate_total[$__rate_interval]))",
                    "time that cannot be": "sum(increase(vigil_events_implausible_total[$__rate_interval]))",
                },
            ),
            Panel("What is missing?", {"{{lane}}": "sum by (lane) (vigil_ingest_missing)"}, bad=1),
            Panel(
                "What did not work?",
                {
                    "Kafka did not confirm": "sum(increase(vigil_ingest_produce_failures_total[$__rate_interval]))",
                    "put aside": "sum(increase(vigil_pipeline_poison_total[$__rate_interval]))",
                    "fenced": "sum(increase(vigil_pipeline_fenced_total[$__rate_interval]))",
                    "model {{model}}": "sum by (model) (increase(vigil_model_failures_total[$__rate_interval]))",
                    "callbacks": "sum(increase(vigil_mqtt_callback_errors_total[$__rate_interval]))",
                },
            ),
        ),
    ),
    "edge": (
        "Vigil: edge boxes",
        (
            Panel("Who is connected?", {"{{state}}": "max by (state) (vigil_nodes)"}),
            Panel("What waits at the boxes?", {"{{lane}}": "sum by (lane) (vigil_edge_spool_rows)"}),
            Panel(
                "What do they see?",
                {"{{lane}}": "sum by (lane) (rate(vigil_edge_accepted_total[$__rate_interval]))"},
                "cps",
            ),
            Panel(
                "What is sent, and again?",
                {"again: {{again}}": "sum by (again) (rate(vigil_edge_sent_total[$__rate_interval]))"},
                "cps",
            ),
            Panel(
                "What do they refuse?",
                {
                    "{{reason}}": "sum by (reason) (increase(vigil_edge_refused_total[$__rate_interval]))",
                    "broker: {{reason}}": "sum by (reason) (increase(vigil_edge_broker_refused_total[$__rate_interval]))",
                },
                bad=1,
            ),
            Panel(
                "Which sounded their own alarm?",
                {"{{instance}}": "sum by (instance) (increase(vigil_edge_local_alarms_total[$__rate_interval]))"},
                bad=1,
            ),
            Panel(
                "How much memory do they take?",
                {"{{instance}}": 'process_resident_memory_bytes{job="vigil-edge"}'},
                "bytes",
            ),
            Panel(
                "Frames as evidence",
                {"{{outcome}}": "sum by (outcome) (increase(vigil_edge_evidence_frames_total[$__rate_interval]))"},
            ),
        ),
    ),
    "alerts": (
        "Vigil: alerts and burden",
        (
            Panel("What is open?", {"{{priority}}": "max by (priority) (vigil_alerts_open)"}),
            Panel("What waits for somebody?", {"{{priority}}": "max by (priority) (vigil_alerts_waiting)"}, bad=1),
            Panel("For how long?", {"{{priority}}": "max by (priority) (vigil_alert_waiting_seconds)"}, "s", bad=180),
            Panel(
                "How long until they are answered (24 h)?",
                {"{{what}} p{{quantile}}": "max by (what, quantile) (vigil_alert_seconds)"},
                "s",
            ),
            Panel("Alarms an officer in 10 min", {"{{figure}}": "max by (figure) (vigil_alarms_per_officer_10min)"}, bad=10),
            Panel("How often are detectors right (24 h)?", {"{{model}}": "max by (model) (vigil_detector_precision)"}, "percentunit"),
            Panel(
                "Do notices get through?",
                {
                    "sent by {{channel}}": "sum by (channel) (increase(vigil_notices_sent_total[$__rate_interval]))",
                    "failed by {{channel}}": "sum by (channel) (increase(vigil_notices_failed_total[$__rate_interval]))",
                    "nobody": "sum(increase(vigil_notices_nobody_total[$__rate_interval]))",
                },
            ),
            Panel("What is overdue?", {"steps": "max(vigil_escalation_overdue)"}, bad=1),
            Panel("How late are the screens (p99)?", {"": p99("vigil_live_lag_seconds")}, "s", bad=2),
        ),
    ),
    "fallback": (
        "Vigil: fallback and coverage",
        (
            Panel("In which mode are the estates?", {"{{estate}} {{mode}}": "vigil_fallback_mode == 1"}),
            Panel("Who has no protection?", {"{{estate}}": "sum by (estate) (vigil_residents_unprotected)"}, bad=1),
            Panel("Who has lost some?", {"{{estate}}": "sum by (estate) (vigil_residents_reduced)"}),
            Panel(
                "Do canaries come through?",
                {"{{estate}} {{judgement}}": "sum by (estate, judgement) (rate(vigil_canary_total[$__rate_interval]))"},
                "cps",
            ),
            Panel("How long do they take to each stage (p99)?", {"{{stage}}": p99("vigil_canary_stage_seconds", "stage")}, "s", bad=8),
            Panel("What does the watchdog miss?", {"{{service}}": "max by (service) (vigil_fallback_probe_missed)"}, bad=3),
            Panel(
                "How old are the papers?",
                {"{{estate}}": "time() - max by (estate) (vigil_fallback_pack_timestamp_seconds)"},
                "s",
                bad=900,
            ),
            Panel(
                "Does the watchdog turn?",
                {"{{instance}}": "time() - vigil_fallback_last_step_timestamp_seconds"},
                "s",
                bad=30,
            ),
        ),
    ),
}  # fmt: skip


def dashboard(name: str) -> str:
    """Return a board as Grafana reads it."""
    title, panels = BOARDS[name]
    board = {
        "uid": f"vigil-{name}",
        "title": title,
        "tags": ["vigil"],
        "schemaVersion": 39,
        "version": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "tags": ["vigil"], "title": "Vigil", "asDropdown": True}],
        "panels": _placed(panels),
    }
    return json.dumps(board, indent=1, ensure_ascii=False) + "\n"


def _placed(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    """Fill the rows from the left."""
    found, x, y = [], 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y = 0, y + HEIGHT
        place = {"x": x, "y": y, "w": panel.width, "h": HEIGHT}
        found.append({"id": number, "gridPos": place, **_drawn(panel)})
        x += panel.width
    return found


def _drawn(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad is not None:
        steps.append({"color": "red", "value": panel.bad})
    targets = [
        {"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": query, "legendFormat": legend or "value"}
        | ({"instant": True, "format": "table"} if panel.kind == "table" else {})
        for n, (legend, query) in enumerate(panel.queries.items())
    ]
    custom = {"thresholdsStyle": {"mode": "line" if panel.bad is not None else "off"}}
    defaults = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        defaults |= {"custom": custom}
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }


def queries() -> list[str]:
    """Return every query of every board, with Grafana's interval filled in."""
    boards = (panel for _, panels in BOARDS.values() for panel in panels)
    return [query.replace("$__rate_interval", "1m") for panel in boards for query in panel.queries.values()]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in BOARDS:
        (FOLDER / f"{each}.json").write_text(dashboard(each), encoding="utf-8")
        sys.stdout.write(f"dashboards/{each}.json written\n")
