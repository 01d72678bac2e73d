"""The embedded servers: start, end, sudden death, and what is there afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
import psycopg
import pytest

from deploy.embedded.children import LOG_BYTES, OwnedProcess
from deploy.embedded.guard import runs
from deploy.embedded.servers import HOST, Broker, EmbeddedStack, Kafka, Postgres, Server, ServerError, accepts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.integration, pytest.mark.embedded_only]
ROOT = Path(__file__).parents[3]
KINDS: dict[str, type[Broker | Kafka | Postgres]] = {"mqtt": Broker, "kafka": Kafka, "postgres": Postgres}


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    made = KINDS[request.param](tmp_path / "server")
    yield made
    made.kill()


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    made = Postgres(tmp_path / "pg")
    yield made
    made.kill()


def with_descendants(server: Server) -> list[psutil.Process]:
    assert server.pid is not None
    root = psutil.Process(server.pid)
    return [root, *root.children(recursive=True)]


def write_row(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")


def count_rows(dsn: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert row is not None
    return row[0]


def wait_until(true: Callable[[], bool], limit_s: float = 10.0) -> bool:
    deadline = time.monotonic() + limit_s
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


# --- all three ---


def test_a_started_server_accepts_connections_and_a_stopped_one_does_not(server: Server) -> None:
    server.start()
    assert accepts(server.port)
    server.stop()
    assert server.pid is None
    assert not accepts(server.port)


def test_starting_twice_and_stopping_twice_changes_nothing(server: Server) -> None:
    server.start()
    pids = [server.pid]
    server.start()
    assert pids == [server.pid]
    server.stop()
    server.stop()


def test_a_killed_server_is_gone_with_all_its_processes(server: Server) -> None:
    server.start()
    family = with_descendants(server)
    server.kill()
    assert [process for process in family if runs(process)] == []


def test_a_killed_server_comes_back_on_the_same_port(server: Server) -> None:
    server.start()
    port = server.port
    server.kill()
    server.start()
    assert server.port == port
    assert accepts(port)


def test_a_taken_port_is_one_sentence_that_names_it(server: Server) -> None:
    with socket.socket() as other:
        other.bind((HOST, server.port))
        other.listen()
        with pytest.raises(ServerError, match=f"{server.name}: port {server.port} on {HOST} is in use"):
            server.start()


def test_a_full_disk_is_one_sentence_that_names_the_folder(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(ROOT)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage._replace(free=1024))
    with pytest.raises(ServerError, match="only 0 MB are free where"):
        server.start()


def test_a_server_that_ends_at_once_is_one_line_with_its_last_words(tmp_path: Path) -> None:
    class Faulty(Kafka):
        def _prepare(self) -> list[str]:
            return [sys.executable, "-c", "import sys; sys.exit('cannot read my configuration')"]

    with pytest.raises(ServerError, match=r"ended at once.*cannot read my configuration") as raised:
        Faulty(tmp_path / "faulty").start()
    assert "\n" not in str(raised.value)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match="kafka: cannot be started"):
        Kafka(tmp_path / "file" / "kafka").start()


# --- PostgreSQL: what is on the disk stays ---


def test_the_database_finds_its_rows_after_stop_and_after_kill(postgres: Postgres) -> None:
    postgres.start()
    write_row(postgres.dsn)
    postgres.stop()
    postgres.start()
    write_row(postgres.dsn)
    postgres.kill()
    postgres.start()
    assert count_rows(postgres.dsn) == 2


def test_a_second_object_on_the_same_folder_finds_data_and_passwords(postgres: Postgres) -> None:
    postgres.start()
    write_row(postgres.dsn)
    postgres.stop()
    second = Postgres(postgres.folder)
    second.start()
    try:
        assert count_rows(second.dsn) == 1
    finally:
        second.stop()


def test_the_application_is_no_superuser_and_owns_its_database(postgres: Postgres) -> None:
    postgres.start()
    with psycopg.connect(postgres.dsn) as connection:
        row = connection.execute(
            "SELECT current_user, current_database(), rolsuper, rolbypassrls, rolcreatedb"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == ("vigil", "vigil", False, False, True)


def test_a_wrong_password_is_refused(postgres: Postgres) -> None:
    postgres.start()
    dsn = f"postgresql://vigil:guessed@{HOST}:{postgres.port}/vigil"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn).close()


def test_a_commit_is_on_the_disk_before_it_is_acknowledged(postgres: Postgres) -> None:
    postgres.start()
    with psycopg.connect(postgres.dsn) as connection:
        settings = [
            connection.execute(f"SHOW {name}").fetchone()
            for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "timezone")
        ]
    assert settings == [("on",), ("on",), ("on",), ("on",), ("UTC",)]


def test_others_cannot_read_the_data_or_the_passwords(postgres: Postgres) -> None:
    postgres.start()
    assert postgres.folder.stat().st_mode & 0o077 == 0
    assert (postgres.folder / "vigil.password").stat().st_mode & 0o077 == 0


def test_a_lock_whose_process_number_another_program_has_by_now_does_not_stop_it(postgres: Postgres) -> None:
    postgres.start()
    postgres.kill()
    lock = postgres.folder / "data" / "postmaster.pid"
    stranger = str(os.getpid())
    lock.write_text("\n".join([stranger, *lock.read_text().splitlines()[1:]]) + "\n")
    postgres.start()
    assert postgres.pid != os.getpid()


def test_a_folder_that_is_served_already_is_refused_with_the_process_named(postgres: Postgres) -> None:
    postgres.start()
    with pytest.raises(ServerError, match=f"process {postgres.pid} still serves"):
        Postgres(postgres.folder).start()
    assert accepts(postgres.port)


def test_a_data_folder_that_was_half_made_is_made_again(postgres: Postgres) -> None:
    half = postgres.folder / "new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    postgres.start()
    write_row(postgres.dsn)
    assert not half.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give its rights away")
def test_as_root_the_server_runs_as_somebody_else_and_opens_no_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    postgres = Postgres(closed / "deep" / "pg")
    postgres.start()
    try:
        assert postgres.pid is not None
        assert psutil.Process(postgres.pid).uids().effective != 0
        assert closed.stat().st_mode & 0o777 == 0o700
        write_row(postgres.dsn)
    finally:
        postgres.stop()


# --- the stack ---


def test_the_stack_starts_all_and_gives_their_addresses_as_settings(tmp_path: Path) -> None:
    with EmbeddedStack(tmp_path) as stack:
        environment = stack.addresses.environment()
        assert all(accepts(server.port) for server in (stack.broker, stack.kafka, stack.postgres))
    assert environment["VIGIL_MQTT_PORT"] == str(stack.broker.port)
    assert environment["VIGIL_KAFKA_BOOTSTRAP"] == f"{HOST}:{stack.kafka.port}"
    assert environment["VIGIL_KAFKA_IDEMPOTENT"] == "false"
    assert environment["VIGIL_DATABASE_DSN"] == stack.postgres.dsn
    assert not any(accepts(server.port) for server in (stack.broker, stack.kafka, stack.postgres))


def test_if_one_server_cannot_start_none_is_left(tmp_path: Path) -> None:
    stack = EmbeddedStack(tmp_path)
    with socket.socket() as other:
        other.bind((HOST, stack.postgres.port))
        other.listen()
        with pytest.raises(ServerError, match="postgres"):
            stack.start()
    assert [server.pid for server in (stack.broker, stack.kafka, stack.postgres)] == [None, None, None]


# --- nothing outlives its owner ---


class Orphans(NamedTuple):
    """What an owner started, as it told us before it died."""

    owner: subprocess.Popen[bytes]
    family: list[psutil.Process]


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Orphans]:
    script = (
        "import sys, time; from pathlib import Path; from deploy.embedded.servers import EmbeddedStack\n"
        "s = EmbeddedStack(Path(sys.argv[1])); s.start()\n"
        "print(s.postgres.dsn, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "stack")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        dsn = process.stdout.readline().decode().strip()
        # A backend that computes does not look whether its server lives: it has to be ended too.
        busy = psycopg.connect(dsn, autocommit=True)
        busy.execute("SELECT 1")
        busy.pgconn.send_query(b"DO $$ BEGIN LOOP END LOOP; END $$")
        family = psutil.Process(process.pid).children(recursive=True)
        yield Orphans(process, family)
        process.kill()
        busy.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_owner_is_killed_nothing_is_left(owner: Orphans, how: signal.Signals) -> None:
    assert len(owner.family) > 8  # three servers, the guard, and PostgreSQL's own processes
    owner.owner.send_signal(how)
    owner.owner.wait()
    assert wait_until(lambda: not any(runs(process) for process in owner.family))


@pytest.mark.parametrize("delay_ms", [0, 1, 2, 3, 5, 8, 13, 21, 34])
def test_an_owner_killed_while_it_starts_a_child_leaves_nothing(tmp_path: Path, delay_ms: int) -> None:
    script = (
        "import sys, time; from pathlib import Path; from deploy.embedded.children import OwnedProcess\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(600)', sys.argv[1]]\n"
        "print(flush=True)\n"
        "for _ in range(3): OwnedProcess(sleep, Path(sys.argv[1]) / 'log')\n"
        "time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay_ms / 1000)
        process.kill()
    assert wait_until(lambda: not named(str(tmp_path)))


def test_an_owner_that_ends_by_itself_has_ended_its_children_by_then(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from deploy.embedded.children import OwnedProcess\n"
        "OwnedProcess([sys.executable, '-c', 'import time; time.sleep(600)', sys.argv[1]], Path(sys.argv[1]) / 'log')"
    )
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert not named(str(tmp_path))
    assert "unclosed file" not in ended.stderr


def named(argument: str) -> list[int]:
    """Find running processes that have this argument."""
    everybody = psutil.process_iter(["cmdline"])
    return [it.pid for it in everybody if argument in (it.info["cmdline"] or []) and runs(it)]


def test_a_program_that_cannot_be_opened_ends_at_once_and_says_why(tmp_path: Path) -> None:
    child = OwnedProcess([str(tmp_path / "nothing")], tmp_path / "log")
    assert wait_until(lambda: child.exit_status() is not None)
    assert "not found" in child.obituary()


def test_a_guard_that_was_killed_is_replaced_and_knows_all_children(tmp_path: Path) -> None:
    script = (
        "import time; from pathlib import Path; from deploy.embedded import children as c\n"
        "import sys; log = Path(sys.argv[1]); sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "first = c.OwnedProcess(sleep, log); c._guard()._process.kill(); c._guard()._process.wait()\n"
        "second = c.OwnedProcess(sleep, log); print(first.pid, second.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        children = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        process.kill()
    assert wait_until(lambda: not any(runs(child) for child in children))


def test_a_child_that_does_not_listen_to_sigterm_is_killed_after_its_time(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    child = OwnedProcess([sys.executable, "-c", deaf], tmp_path / "log")
    assert wait_until(lambda: "deaf" in child.tail())
    child.stop(limit_s=0.1)
    assert child.exit_status() == -signal.SIGKILL
    assert child.obituary().startswith("was killed by signal 9")


def test_what_a_child_said_is_found_although_a_long_log_was_put_aside_when_it_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"what another one said" * (LOG_BYTES // 16))
    child = OwnedProcess([sys.executable, "-c", "print('ready')"], log)
    assert wait_until(lambda: child.exit_status() is not None)
    assert child.output() == b"ready\n"


def test_a_child_that_ended_by_itself_says_its_last_line(tmp_path: Path) -> None:
    child = OwnedProcess([sys.executable, "-c", "raise ValueError('the table is gone')"], tmp_path / "log")
    assert wait_until(lambda: child.exit_status() is not None)
    assert child.obituary().startswith("ended with status 1 (ValueError: the table is gone; log: ")
