"""The watchdog's metrics, for Prometheus.

Set by `__main__` after each step from `watchdog`'s view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge, Histogram

from fallback.canary import Judgement, Stage
from fallback.state import Mode

if TYPE_CHECKING:
    from fallback.canary import Run
    from fallback.watchdog import View

mode: Final = Gauge("vigil_fallback_mode", "1 for the mode that an estate is in.", ["estate", "mode"])
canaries: Final = Counter("vigil_canary_total", "Canaries judged.", ["estate", "judgement"])
stages: Final = Histogram(
    "vigil_canary_stage_seconds",
    "From a canary's start to each stage.",
    ["stage"],
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4, 8),
)
missed: Final = Gauge(
    "vigil_fallback_probe_missed", "Looks in a row that found a process not ready.", ["service"]
)
unprotected: Final = Gauge(
    "vigil_residents_unprotected", "Flagged residents without any protection.", ["estate"]
)
reduced: Final = Gauge("vigil_residents_reduced", "Flagged residents who have lost some of it.", ["estate"])
packed: Final = Gauge(
    "vigil_fallback_pack_timestamp_seconds",
    "When the data of an estate's newest papers were made.",
    ["estate"],
)
last_step: Final = Gauge("vigil_fallback_last_step_timestamp_seconds", "When the watchdog last looked.")


def judged(run: Run) -> None:
    """Count a canary that has just been judged."""
    canaries.labels(run.estate, run.judgement).inc()
    if run.judgement is Judgement.GOOD:
        for stage in Stage:
            at = run.at(stage)
            if at is not None:
                stages.labels(stage).observe((at - run.made_at).total_seconds())


def show(view: View) -> None:
    """Set the gauges."""
    for estate in view.estates:
        for each in Mode:
            mode.labels(estate.id, each).set(estate.verdict.mode is each)
        unprotected.labels(estate.id).set(len(estate.unprotected))
        reduced.labels(estate.id).set(estate.reduced)
    for service in {process.service for process in view.processes}:
        worst = max(process.missed for process in view.processes if process.service == service)
        missed.labels(service).set(worst)
    last_step.set(view.at.timestamp())
