"""The built wheel with nothing beside it but what `vigil[edge]` asks for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.integration

REPOSITORY: Final = Path(__file__).parents[3]
FOREIGN: Final = ("aiokafka", "psycopg", "psycopg_pool", "fastapi", "starlette", "uvicorn", "cv2", "aiohttp")
NODE: Final = {
    "community": "c1",
    "estate": "e1",
    "node": "n1",
    "devices": [{"id": "d1", "kind": "pendant", "zone": "z1", "source": "day"}],
    "sources": {"day": {"kind": "simulator"}},
}
EVERY_MODULE: Final = """
import importlib, json, pkgutil, sys
import edge
names = [m.name for m in pkgutil.walk_packages(edge.__path__, "edge.") if not m.name.endswith("__main__")]
lacking = {}
for name in names:
    try:
        importlib.import_module(name)
    except ImportError as error:
        lacking[name] = error.name
foreign = [name for name in sys.argv[1:] if name in sys.modules or importlib.util.find_spec(name)]
print(json.dumps({"where": edge.__file__, "modules": len(names), "lacking": lacking, "foreign": foreign}))
"""


def _needs(requirements: list[str], extra: str) -> set[str]:
    """Return the names of all distributions that requirements lead to."""
    found: set[str] = set()
    waiting = [(Requirement(text), extra) for text in requirements]
    while waiting:
        requirement, of = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": of}):
            continue
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        extras = requirement.extras or {""}
        if name in found and not requirement.extras:
            continue
        found.add(name)
        for text in metadata.requires(name) or []:
            waiting += [(Requirement(text), wanted) for wanted in extras]
    return found


def _linked(names: set[str], site: Path) -> None:
    """Lay what the distributions have installed into a folder, as pip would."""
    for name in names:
        for file in metadata.distribution(name).files or []:
            top = file.parts[0]
            if top in ("..", "__pycache__") or (site / top).exists():
                continue
            (site / top).symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / top)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel and the packages that it needs as an edge box."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("vigil-*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
        (about,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        text = packed.read(about).decode()
    requires = re.findall(r"^Requires-Dist: (.*)$", text, re.MULTILINE)
    _linked(_needs(requires, "edge"), site)
    return site


def _run(site: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the folder instead of its own packages."""
    start = f"import sys, runpy; sys.path.insert(0, {str(site)!r}); sys.argv = sys.argv[1:]; "
    start += "exec(sys.argv.pop(0))"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", start, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        cwd=site,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_edge_imports_without_kafka_database_and_web_packages(site: Path) -> None:
    done = _run(site, EVERY_MODULE, "-", *FOREIGN)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["where"].startswith(str(site))
    assert found["modules"] > 30
    assert found["foreign"] == []
    # What has to do with pictures wants the camera's packages, and says which.
    assert set(found["lacking"].values()) <= {"cv2", "ai_edge_litert"}


def test_the_installed_edge_examines_its_box(site: Path, tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text(json.dumps(NODE))
    doctor = 'sys.argv = ["edge", "doctor"]; runpy.run_module("edge", run_name="__main__")'
    done = _run(
        site,
        doctor,
        VIGIL_EDGE_CONFIG=str(tmp_path / "node.json"),
        VIGIL_EDGE_SPOOL=str(tmp_path / "spool.db"),
        VIGIL_MQTT_PORT="9",
    )
    assert "The node's file describes n1 with 2 devices." in done.stdout, done.stderr
    assert done.returncode == 1
    assert "does not answer" in done.stdout
