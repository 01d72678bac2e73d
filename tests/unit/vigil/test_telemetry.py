from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from vigil.errors import Stop
from vigil.progress import Work
from vigil.telemetry import configure_logging, ops_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vigil.telemetry import Check


@pytest.fixture
def _own_logging() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def ready(checks: dict[str, Check]) -> tuple[int, Any]:
    with ops_server("127.0.0.1", 0, checks) as port:
        status, body = get(port, "/readyz")
    return status, json.loads(body)


def test_a_process_says_how_far_it_has_come() -> None:
    with ops_server("127.0.0.1", 0, {}, {"alarm": lambda: Work(7, 2, 0.5)}) as port:
        _, body = get(port, "/readyz")
    assert json.loads(body)["progress"] == {"alarm": {"done": 7, "waiting": 2, "oldest_s": 0.5}}


def test_metrics_are_there_for_prometheus() -> None:
    with ops_server("127.0.0.1", 0, {}) as port:
        status, body = get(port, "/metrics")
    assert status == 200
    assert "# TYPE python_info gauge" in body


def test_a_process_that_lives_is_healthy_even_when_it_is_not_ready() -> None:
    with ops_server("127.0.0.1", 0, {"kafka": lambda: "is away"}) as port:
        assert get(port, "/healthz") == (200, '{"status": "ok"}')
        assert get(port, "/readyz")[0] == 503


def test_a_process_is_ready_when_every_check_is_well() -> None:
    assert ready({"mqtt": lambda: None, "kafka": lambda: None}) == (
        200,
        {"ready": True, "checks": {"mqtt": "ok", "kafka": "ok"}},
    )


def test_a_process_that_is_not_ready_names_what_is_wrong() -> None:
    assert ready({"mqtt": lambda: None, "kafka": lambda: "is away"}) == (
        503,
        {"ready": False, "checks": {"mqtt": "ok", "kafka": "is away"}},
    )


def test_a_check_that_fails_itself_is_not_well() -> None:
    def broken() -> str | None:
        raise RuntimeError("no such partition")

    status, body = ready({"kafka": broken, "mqtt": lambda: None})
    assert status == 503
    assert body["checks"] == {"kafka": "RuntimeError: no such partition", "mqtt": "ok"}


def test_checks_may_be_added_while_it_serves() -> None:
    checks: dict[str, Check] = {}
    with ops_server("127.0.0.1", 0, checks) as port:
        assert get(port, "/readyz")[0] == 200
        checks["late"] = lambda: "no"
        assert get(port, "/readyz")[0] == 503


def test_another_path_is_answered_with_those_that_are_there() -> None:
    with ops_server("127.0.0.1", 0, {}) as port:
        status, body = get(port, "/")
    assert status == 404
    assert "/metrics" in body


def test_a_port_that_is_taken_stops_the_process_with_one_line_that_names_it() -> None:
    with (
        ops_server("127.0.0.1", 0, {}) as port,
        pytest.raises(Stop) as stop,
        ops_server("127.0.0.1", port, {}),
    ):
        pass
    assert str(stop.value).startswith(f"VIGIL_OPS_PORT {port} on 127.0.0.1 cannot be used")


def test_the_port_is_free_again_afterwards() -> None:
    with ops_server("127.0.0.1", 0, {}) as port:
        pass
    with ops_server("127.0.0.1", port, {}) as again:
        assert again == port


@pytest.mark.usefixtures("_own_logging")
def test_a_log_line_is_one_json_object_with_the_process_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("ingest", "json", "info")
    log = structlog.get_logger("x")
    log.info("connected", broker="家\n2")
    log.debug("unseen")
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert said.pop("timestamp").endswith("Z")
    assert said == {"event": "connected", "level": "info", "process": "ingest", "broker": "家\n2"}


@pytest.mark.usefixtures("_own_logging")
def test_an_exception_is_part_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("ingest", "json", "info")
    try:
        int("broken")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


@pytest.mark.usefixtures("_own_logging")
def test_people_get_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("ingest", "console", "warning")
    structlog.get_logger("x").warning("trouble", what="kafka")
    said = capsys.readouterr().err
    assert "trouble" in said
    assert "what=kafka" in said
    assert logging.getLogger("x").getEffectiveLevel() >= logging.WARNING
