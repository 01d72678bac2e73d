"""What a part needs, and what its Debian package holds; `tests.install` installs one for real."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Final

import pytest

from deploy.embedded.lock import pins
from deploy.packages import debian
from deploy.packages.__main__ import known
from deploy.packages.closure import PARTS, closure, installed, subset
from deploy.processes.table import PROCESSES
from vigil.errors import Stop

ROOT: Final = Path(__file__).parents[3]


def made_up(name: str) -> list[str]:
    """What invented distributions require."""
    return {
        "vigil": [
            "base>=1",
            'paho-mqtt>=2; extra == "edge"',
            'vigil[edge]; extra == "camera"',
            'cv; extra == "camera"',
        ],
        "base": ['old; python_version < "3"', "common"],
        "paho-mqtt": ["common"],
    }.get(name, [])


def test_a_part_needs_what_its_extras_need_and_what_those_need_and_nothing_else() -> None:
    assert closure(["camera"], made_up) == {"base", "common", "paho-mqtt", "cv"}
    assert closure([], made_up) == {"base", "common"}


def test_a_box_gets_no_client_of_kafka_or_the_database_and_no_web_server() -> None:
    assert not closure(PARTS["edge"]) & {"aiokafka", "psycopg", "fastapi", "uvicorn", "onnxruntime"}
    assert not closure(PARTS["fallback"]) & {"aiokafka", "psycopg", "fastapi", "uvicorn"}


def test_what_is_taken_of_the_pins_has_its_hashes() -> None:
    pinned = pins((ROOT / "constraints.txt").read_text())
    taken = subset(pinned, ["paho-mqtt", "msgspec"])
    assert taken.count("==") == 2
    assert "--hash=sha256:" in taken.partition("paho-mqtt==")[2]


def test_what_is_not_pinned_or_not_installed_is_named() -> None:
    with pytest.raises(Stop, match="nowhere; run: make lock"):
        subset({"a": "a==1"}, ["nowhere"])
    with pytest.raises(Stop, match="nowhere is not installed"):
        installed("nowhere")
    with pytest.raises(Stop, match="cellar: parts are"):
        known(["cellar"])


def test_parts_are_of_extras_that_there_are() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {extra for wanted in PARTS.values() for extra in wanted} <= set(extras)


def test_every_process_has_its_unit_in_one_package() -> None:
    packed = [unit for part in PARTS for unit in debian.units(part)]
    assert sorted(f"vigil-{process.name}.service" for process in PROCESSES) == sorted(
        set(packed) & {f"vigil-{process.name}.service" for process in PROCESSES}
    )
    assert len(set(packed)) == len(packed)
    assert all((ROOT / "deploy/systemd" / unit).is_file() for unit in packed)


@pytest.mark.parametrize("part", PARTS)
def test_the_watchdog_is_never_on_the_host_of_what_it_watches(part: str) -> None:
    conflicts = debian.control(part, "1", "all").partition("Conflicts: ")[2].partition("\n")[0]
    assert conflicts == ", ".join(f"vigil-{other}" for other in PARTS if other != part)


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm"])
def test_scripts_are_shell_and_end_at_the_first_failure(name: str, tmp_path: Path) -> None:
    text = debian.scripts("platform", "1.0")[name]
    script = tmp_path / name
    script.write_text(text)
    subprocess.run(["sh", "-n", str(script)], check=True)
    assert "set -e" in text
    assert "@" not in text


def test_removing_a_package_leaves_what_was_not_sent_yet(tmp_path: Path) -> None:
    spool, program = tmp_path / "var/lib/vigil/spool.db", tmp_path / "opt/vigil/bin/python"
    for path in (spool, program):
        path.parent.mkdir(parents=True)
        path.touch()
    script = debian.scripts("edge", "1.0")["postrm"]
    subprocess.run(
        ["sh", "-c", script, "postrm", "purge"], check=True, env={**os.environ, "DPKG_ROOT": str(tmp_path)}
    )
    assert spool.exists()
    assert not program.exists()
