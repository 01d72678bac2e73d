"""Every alert fires for its fault and not in health, says what to do, and uses metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.prometheus.__main__ import REFERENCE, declared, reference
from tests.conftest import lacking

ROOT: Final = Path(__file__).parents[3]
OPS: Final = ROOT / "deploy/prometheus"
RULES: Final = sorted((OPS / "rules").glob("*.yaml"))
MINUTES: Final = 30
"""Of every case; a case that needs longer says so."""

DOWN, UP, GROWS = "0x", "1x", "0+6x"
HEALTHY: Final = {
    **{f'up{{job="vigil-{room}", instance="a"}}': UP for room in ("ingest", "processors", "api", "fallback")},
    'vigil_ingest_messages_total{topic="t", instance="a"}': GROWS,
    'vigil_ingest_missing{lane="alarm"}': DOWN,
    'vigil_pipeline_lag_records{pipeline="alarm", instance="a"}': "3x",
    'vigil_pipeline_batch_seconds_count{pipeline="alarm", instance="a"}': GROWS,
    'vigil_event_age_seconds_bucket{lane="alarm", le="5.0"}': GROWS,
    'vigil_event_age_seconds_bucket{lane="alarm", le="10.0"}': GROWS,
    'vigil_event_age_seconds_bucket{lane="alarm", le="+Inf"}': GROWS,
    'vigil_event_age_seconds_count{lane="alarm"}': GROWS,
    'vigil_retention_passed_timestamp_seconds{instance="a"}': "0+60x",
    'vigil_gauges_timestamp_seconds{instance="a"}': "0+60x",
    'vigil_alert_waiting_seconds{priority="critical"}': DOWN,
    'vigil_escalation_overdue{instance="a"}': DOWN,
    'vigil_nodes{state="offline"}': DOWN,
    'vigil_edge_connected{instance="b"}': UP,
    'vigil_edge_spool_rows{instance="b", lane="alarm"}': DOWN,
    'vigil_fallback_mode{estate="e1", mode="fallback"}': DOWN,
    'vigil_fallback_mode{estate="e1", mode="degraded"}': DOWN,
    'vigil_canary_total{estate="e1", judgement="good"}': GROWS,
    'vigil_canary_total{estate="e1", judgement="late"}': DOWN,
    'vigil_fallback_probe_missed{service="api"}': DOWN,
    'vigil_residents_unprotected{estate="e1"}': DOWN,
    'vigil_fallback_pack_timestamp_seconds{estate="e1"}': "0+60x",
    'vigil_backup_wal_timestamp_seconds{instance="a"}': "0+60x",
    'vigil_backup_base_timestamp_seconds{instance="a"}': DOWN,
}
"""An hour in which all is well; a step is a minute, and the clock begins at 0."""

# What each alert's fault changes of it.
FAULTS: Final[dict[str, dict[str, str]]] = {
    "VigilRoomDown": {'up{job="vigil-ingest", instance="a"}': DOWN},
    "VigilProcessDown": {
        'up{job="vigil-api", instance="a"}': DOWN,
        'up{job="vigil-api", instance="b"}': UP,
    },
    "VigilRoomUnknown": {'up{job="vigil-processors", instance="a"}': "_x"},
    "VigilNothingComesIn": {'vigil_ingest_messages_total{topic="t", instance="a"}': "7x"},
    "VigilKafkaDoesNotConfirm": {'vigil_ingest_produce_failures_total{instance="a"}': GROWS},
    "VigilProcessingStands": {'vigil_pipeline_batch_seconds_count{pipeline="alarm", instance="a"}': "9x"},
    "VigilProcessingLags": {'vigil_pipeline_lag_records{pipeline="alarm", instance="a"}': "9000x"},
    "VigilAlarmsAreLate": {'vigil_event_age_seconds_bucket{lane="alarm", le="5.0"}': "0+5x"},
    "VigilLoopIsBusy": {
        'vigil_loop_lag_seconds_bucket{job="vigil-api", instance="a", le="0.5"}': "0+1x",
        'vigil_loop_lag_seconds_bucket{job="vigil-api", instance="a", le="1.0"}': GROWS,
        'vigil_loop_lag_seconds_bucket{job="vigil-api", instance="a", le="+Inf"}': GROWS,
    },
    "VigilDeadLetters": {'vigil_events_dead_total{reason="malformed"}': GROWS},
    "VigilPoison": {'vigil_pipeline_poison_total{pipeline="alarm"}': GROWS},
    "VigilEventsMissing": {'vigil_ingest_missing{lane="alarm"}': "4x"},
    "VigilModelFails": {'vigil_model_failures_total{model="waist"}': GROWS},
    "VigilImplausibleTimes": {'vigil_events_implausible_total{instance="a"}': GROWS},
    "VigilWritersFenced": {'vigil_pipeline_fenced_total{pipeline="alarm"}': GROWS},
    "VigilRetentionStands": {'vigil_retention_passed_timestamp_seconds{instance="a"}': "-20000x"},
    "VigilMqttCallbacksFail": {'vigil_mqtt_callback_errors_total{job="vigil-ingest"}': GROWS},
    "VigilAlertWaits": {'vigil_alert_waiting_seconds{priority="critical"}': "0+60x"},
    "VigilEscalationOverdue": {'vigil_escalation_overdue{instance="a"}': "2x"},
    "VigilNobodyToTell": {'vigil_notices_nobody_total{instance="a"}': GROWS},
    "VigilChannelFails": {'vigil_notices_failed_total{channel="voice"}': GROWS},
    "VigilGaugesStand": {'vigil_gauges_timestamp_seconds{instance="a"}': "10x"},
    "VigilScreensAreLate": {
        'vigil_live_lag_seconds_bucket{le="2.5"}': "0+1x",
        'vigil_live_lag_seconds_bucket{le="10.0"}': GROWS,
        'vigil_live_lag_seconds_bucket{le="+Inf"}': GROWS,
    },
    "VigilScreensDropped": {'vigil_live_dropped_total{instance="a"}': GROWS},
    "VigilTooManyAlarms": {'vigil_alarms_per_officer_10min{figure="peak"}': "14x"},
    "VigilWebhookFails": {'vigil_webhook_failed_total{webhook="w1"}': GROWS},
    "VigilBoxesOffline": {'vigil_nodes{state="offline"}': "2x"},
    "VigilBoxDoesNotReachTheBroker": {'vigil_edge_connected{instance="b"}': DOWN},
    "VigilAlarmsUnconfirmed": {'vigil_edge_spool_rows{instance="b", lane="alarm"}': "1x"},
    "VigilConfigRefused": {'vigil_box_configs{state="refused"}': "1x"},
    "VigilConfigNotTaken": {"vigil_box_config_waiting_seconds": "200x"},
    "VigilSpoolGrows": {'vigil_edge_spool_rows{instance="b", lane="telemetry"}': "20000x"},
    "VigilBoxRefusesReadings": {'vigil_edge_refused_total{instance="b", reason="unavailable"}': GROWS},
    "VigilBrokerRefusesMessages": {'vigil_edge_broker_refused_total{instance="b", reason="acl"}': GROWS},
    "VigilLocalAlarm": {'vigil_edge_local_alarms_total{instance="b"}': GROWS},
    "VigilFallback": {'vigil_fallback_mode{estate="e1", mode="fallback"}': UP},
    "VigilDegraded": {'vigil_fallback_mode{estate="e1", mode="degraded"}': UP},
    "VigilCanariesLate": {'vigil_canary_total{estate="e1", judgement="late"}': GROWS},
    "VigilCanariesStop": {'vigil_canary_total{estate="e1", judgement="good"}': "5x"},
    "VigilWatchdogGone": {'up{job="vigil-fallback", instance="a"}': DOWN},
    "VigilProbeMissed": {'vigil_fallback_probe_missed{service="api"}': "3x"},
    "VigilResidentsUnprotected": {'vigil_residents_unprotected{estate="e1"}': "7x"},
    "VigilPapersAreOld": {'vigil_fallback_pack_timestamp_seconds{estate="e1"}': "0x"},
    "VigilLogIsNotStreamed": {'vigil_backup_wal_timestamp_seconds{instance="a"}': "60x"},
    "VigilBaseBackupIsOld": {'vigil_backup_base_timestamp_seconds{instance="a"}': "-100000x"},
    "VigilNoBackups": {'vigil_backup_wal_timestamp_seconds{instance="a"}': "_x"},
    "VigilAlarmBudgetBurnsFast": {'vigil_event_age_seconds_bucket{lane="alarm", le="5.0"}': "0+5x"},
    "VigilAlarmBudgetBurns": {'vigil_event_age_seconds_bucket{lane="alarm", le="5.0"}': "0+5x"},
    "VigilCoverageBudgetBurnsFast": {'vigil_canary_total{estate="e1", judgement="late"}': "0+1x"},
    "VigilCoverageBudgetBurns": {'vigil_canary_total{estate="e1", judgement="late"}': "0+1x"},
}
ALWAYS: Final = "VigilHeartbeat"


def alerts() -> dict[str, dict[str, Any]]:
    """Every alert by its name."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def case(alert: str, firing: int) -> dict[str, Any]:
    """A test of promtool's: health with one fault in it, and how many alerts of a name must fire then."""
    series = HEALTHY | FAULTS.get(alert, {})
    expected = [{"labels": "{}", "value": firing}] if firing else []
    what = f'alertname="{alert}"' if firing else f'alertname!="{ALWAYS}"'
    return {
        "name": alert,
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{value}{MINUTES}"} for name, value in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{{what}, alertstate="firing"}})',
                "eval_time": f"{MINUTES}m",
                "exp_samples": expected,
            }
        ],
    }


def promtool(*arguments: str | Path) -> str:
    if shutil.which("promtool") is None:
        lacking("promtool is not installed (apt-get install prometheus)")
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_alert_has_a_fault_in_this_table_and_every_fault_an_alert() -> None:
    assert set(FAULTS) == set(alerts()) - {ALWAYS}


def test_every_alert_fires_for_its_fault_and_none_but_the_heartbeat_in_health(tmp_path: Path) -> None:
    cases = [case("health", 0), case(ALWAYS, 1), *(case(alert, 1) for alert in FAULTS)]
    table = {"rule_files": [str(path) for path in RULES], "evaluation_interval": "1m", "tests": cases}
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(table))
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "cases.yaml")


@pytest.mark.parametrize("alert", sorted(FAULTS))
def test_an_alert_has_a_summary_a_severity_and_a_part_in_a_runbook(alert: str) -> None:
    rule = alerts()[alert]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert len(rule["annotations"]["summary"]) > 20
    page, _, part = rule["annotations"]["runbook"].partition("#")
    parts = re.findall(r"^## (\w+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert part in [name.lower() for name in parts]


def test_rules_ask_for_metrics_that_exist() -> None:
    known = {metric.name for metric in declared()}
    for path in RULES:
        for rule in (rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]):
            asked = re.findall(r"\bvigil_[a-z0-9_]+", rule["expr"])
            assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} <= known


def test_names_and_units_are_prometheus_own() -> None:
    for metric in declared():
        assert metric.name.startswith("vigil_")
        assert metric.name.endswith("_total") is (metric.kind == "counter"), metric.name
        assert not re.search(r"_(ms|millis|minutes|hours|kb|mb|percent)(_|$)", metric.name), metric.name
        assert not {"device", "resident", "node", "event", "id"} & set(metric.labels), metric.name
        assert metric.means.endswith("."), metric.name


def test_the_reference_is_what_the_code_declares() -> None:
    assert REFERENCE.read_text() == reference(), "python -m deploy.prometheus"


def test_prometheus_and_alertmanager_take_the_shipped_files() -> None:
    promtool("check", "config", "--syntax-only", OPS / "prometheus.yml")
    promtool("check", "rules", *RULES)
    if shutil.which("amtool") is None:
        lacking("amtool is not installed (apt-get install prometheus-alertmanager)")
    command = ["amtool", "check-config", str(OPS / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
