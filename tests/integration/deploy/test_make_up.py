"""`make up`'s refusals and its end, seen from outside."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from deploy.embedded.guard import runs
from deploy.embedded.servers import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.embedded_only]
ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "deploy.embedded"]


def environment(var: Path, **more: str) -> dict[str, str]:
    ports = {"VIGIL_API_PORT": str(free_port()), "VIGIL_FALLBACK_PORT": str(free_port())}
    return {**os.environ, "VIGIL_VAR": str(var), **ports, **more}


def refused(env: dict[str, str]) -> str:
    """Run it, expecting it to end by itself, and return the one line it says."""
    done = subprocess.run(COMMAND, cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
    return done.stdout.splitlines()[0]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = subprocess.Popen(
        COMMAND, cwd=ROOT, env=environment(tmp_path / "var"), stdout=subprocess.PIPE, text=True
    )
    with command:
        yield command
        command.kill()


def says(command: subprocess.Popen[str], pattern: str, limit_s: float = 30.0) -> str:
    """Return the next line that matches; an empty one when it has ended, or in time says nothing like it."""
    assert command.stdout is not None
    out, heard = command.stdout.fileno(), _heard.setdefault(command.pid, bytearray())
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        line, ended, rest = heard.partition(b"\n")
        if ended:
            heard[:] = rest
            if re.search(pattern, line.decode()):
                return line.decode()
        elif select.select([out], [], [], 0.2)[0]:
            if not (more := os.read(out, 65536)):
                return ""
            heard += more
    return ""


_heard: dict[int, bytearray] = {}
"""What each command has said and nobody has asked for yet; its own reader would wait for ever."""


def all_gone(family: list[psutil.Process], limit_s: float = 10.0) -> bool:
    """The guard is the last to end, a moment after its owner."""
    deadline = time.monotonic() + limit_s
    while any(runs(process) for process in family) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(runs(process) for process in family)


def family_with_servers(command: subprocess.Popen[str]) -> list[psutil.Process]:
    """Wait until the servers run, and return all descendants."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        family: list[psutil.Process] = psutil.Process(command.pid).children(recursive=True)
        if any(process.name().startswith("tansu") for process in family) and len(family) > 10:
            return family
        time.sleep(0.05)
    raise AssertionError("the servers did not start")


def runs_room(command: subprocess.Popen[str], room: str, limit_s: float = 60.0) -> bool:
    """Wait until a room's process is there."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        for process in psutil.Process(command.pid).children(recursive=True):
            with suppress(psutil.Error):
                if process.cmdline()[1:] == ["-m", room]:
                    return True
        time.sleep(0.05)
    return False


def test_a_second_one_in_parallel_is_refused_with_the_first_ones_number(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w", encoding="ascii") as lock:
        lock.write("4242")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = refused(environment(tmp_path))
    assert line == f"vigil: another `make up` (process 4242) uses {tmp_path}; end it first"


def test_a_taken_console_port_is_one_line_that_says_how_to_move_it(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        line = refused(environment(tmp_path, VIGIL_API_PORT=str(port)))
    assert "VIGIL_API_PORT" in line
    assert f"port {port} on {HOST} is in use" in line


def test_a_port_that_is_none_is_one_line_that_names_the_variable(tmp_path: Path) -> None:
    assert (
        refused(environment(tmp_path, VIGIL_API_PORT="http")) == "vigil: VIGIL_API_PORT: is no port ('http')"
    )


def test_it_says_at_the_start_that_the_log_does_not_survive(up: subprocess.Popen[str]) -> None:
    assert "the Kafka log is in memory only" in says(up, "Kafka")


@pytest.mark.parametrize("children", range(4))
def test_an_interrupt_while_it_starts_leaves_nothing(up: subprocess.Popen[str], children: int) -> None:
    says(up, "starting")
    while len(family := psutil.Process(up.pid).children(recursive=True)) < children:
        time.sleep(0.001)
    up.send_signal(signal.SIGTERM)
    # Whatever it starts between our look and the signal names this run's folder too.
    folder = str(psutil.Process(up.pid).environ()["VIGIL_VAR"])
    assert says(up, "stopped")
    assert up.wait(30) == 0
    assert all_gone(family)
    assert [process for process in psutil.process_iter() if runs(process) and names(process, folder)] == []


def names(process: psutil.Process, folder: str) -> bool:
    try:
        return any(part.startswith(folder) for part in process.cmdline())
    except psutil.Error:
        return False


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_and_leaves_nothing(up: subprocess.Popen[str], how: signal.Signals) -> None:
    family = family_with_servers(up)
    up.send_signal(how)
    assert says(up, "stopped")
    assert up.wait(30) == 0
    assert all_gone(family)


def test_a_signal_that_comes_twice_does_not_cut_the_orderly_end_short(up: subprocess.Popen[str]) -> None:
    family = family_with_servers(up)
    log = Path(psutil.Process(up.pid).environ()["VIGIL_VAR"]) / "postgres" / "postgres.log"
    for _ in range(5):
        up.send_signal(signal.SIGTERM)
        time.sleep(0.002)
    assert says(up, "stopping")
    assert says(up, "stopped")
    assert up.wait(30) == 0
    assert all_gone(family)
    assert "database system is shut down" in log.read_text(encoding="utf-8").splitlines()[-1]


def test_killed_outright_it_leaves_nothing(up: subprocess.Popen[str]) -> None:
    family = family_with_servers(up)
    up.kill()
    up.wait()
    assert all_gone(family)


def test_a_killed_server_is_one_line_and_comes_back(up: subprocess.Popen[str]) -> None:
    # The rooms are started when the servers are in the supervisor's care, and not before.
    assert runs_room(up, "ingest")
    family = family_with_servers(up)
    next(process for process in family if process.name().startswith("tansu")).kill()
    assert re.search(
        r"kafka was killed by signal 9 .*; it is started again in 0\.\d s", says(up, "^vigil: kafka")
    )
    family_with_servers(up)
    up.send_signal(signal.SIGTERM)
    assert says(up, "stopped")
