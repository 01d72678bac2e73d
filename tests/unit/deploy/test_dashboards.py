"""Grafana's boards: as the code makes them, of metrics that exist, in a language that Prometheus takes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from deploy.grafana.__main__ import BOARDS, COLUMNS, FOLDER, SOURCE, dashboard, queries
from deploy.prometheus.__main__ import declared
from tests.conftest import lacking

if TYPE_CHECKING:
    from pathlib import Path

PROVISIONED = FOLDER.parent / "provisioning"


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_a_board_is_what_the_code_makes(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == dashboard(name), "python -m deploy.grafana"


def test_there_is_no_board_that_the_code_does_not_make() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(BOARDS)


def test_boards_show_metrics_that_exist() -> None:
    known = {metric.name for metric in declared()}
    for query in queries():
        asked = re.findall(r"\bvigil_[a-z0-9_]+", query)
        assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} <= known, query


def test_every_metric_of_trouble_is_on_a_board() -> None:
    shown = " ".join(queries())
    wanted = {
        metric.name
        for metric in declared()
        if re.search(r"(dead|missing|overdue|unprotected|alerts_waiting|failures)", metric.name)
    }
    # What ingest puts aside is counted once more when it is stored.
    assert {name for name in wanted - {"vigil_ingest_dead_total"} if name not in shown} == set()


def test_prometheus_takes_every_query(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        lacking("promtool is not installed (apt-get install prometheus)")
    rules = [{"record": f"board:query:{n}", "expr": query} for n, query in enumerate(queries())]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": rules}]}))
    command = ["promtool", "check", "rules", str(tmp_path / "rules.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_panels_lie_beside_each_other_and_ask_the_provisioned_source(name: str) -> None:
    panels: list[dict[str, Any]] = json.loads(dashboard(name))["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < COLUMNS
    assert all(target["datasource"] == SOURCE for panel in panels for target in panel["targets"])
    (source,) = yaml.safe_load((PROVISIONED / "datasources/vigil.yaml").read_text())["datasources"]
    assert (source["type"], source["uid"]) == (SOURCE["type"], SOURCE["uid"])
