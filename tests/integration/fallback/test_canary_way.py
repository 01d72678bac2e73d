from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from fallback import store as memory
from fallback.canary import Judgement, Stage
from fallback.store import Store
from tests.integration.fallback.platform import FakePlatform
from vigil.settings import MqttSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration


def until(found: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait for something to be found."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what := found():
            return what
        time.sleep(0.05)
    pytest.fail("it did not happen")


def test_a_canary_goes_the_whole_way_and_every_stage_is_stamped(
    stack: Any, community: str, tmp_path: Path
) -> None:
    addresses = stack.addresses
    settings = MqttSettings(mqtt_port=addresses.mqtt_port, mqtt_protocol=addresses.mqtt_protocol)
    platform, state = FakePlatform(settings), tmp_path / "state"
    with platform.running() as api:
        environment = os.environ | {
            "VIGIL_MQTT_PORT": str(settings.mqtt_port),
            "VIGIL_MQTT_PROTOCOL": str(settings.mqtt_protocol),
            "VIGIL_FALLBACK_STATE": str(state),
            "VIGIL_FALLBACK_API": api,
            "VIGIL_FALLBACK_PORT": "0",
            "VIGIL_FALLBACK_CANARIES": f"{community}/e1/canary-e1",
        }
        process = subprocess.Popen([sys.executable, "-m", "fallback"], env=environment)
        try:
            until(lambda: len(platform.asked) == 2)
            time.sleep(1)  # two of the watchdog's steps: the stamps are kept
        finally:
            process.terminate()
            assert process.wait(20) == 0
    opened = Store(state)
    (run, *_) = memory.runs(opened, "e1", 10)
    opened.close()
    assert run.judgement is Judgement.GOOD
    assert {stage for stage, _ in run.stamps} == set(Stage)
    assert [(each.synthetic, each.seq) for each in platform.seen] == [("canary", 1)]
    assert platform.asked == [
        ("acknowledge", {"version": 1}),
        ("resolve", {"version": 2, "outcome": "drill"}),
    ]
