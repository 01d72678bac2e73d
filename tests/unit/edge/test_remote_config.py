from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from edge.remote_config import RemoteConfig
from vigil.errors import Misconfigured, Rejected

if TYPE_CHECKING:
    from pathlib import Path

    from edge.config import Node

pytestmark = pytest.mark.asyncio


def raw(version: int = 0, **changes: Any) -> bytes:
    return json.dumps(
        {"community": "c1", "estate": "e1", "node": "n1", "version": version, **changes}
    ).encode()


class Box:
    """Remembers what was put into effect; `fails` names the version that cannot be."""

    def __init__(self, folder: Path) -> None:
        self.applied: list[int] = []
        self.fails: int | None = None
        self.error: Exception = Misconfigured("VIGIL_EDGE_CONFIG", "no such camera")
        self.file, self.kept = folder / "node.json", folder / "kept.json"
        if not self.file.exists():
            self.file.write_bytes(raw())
        self.config = RemoteConfig(self.file, self.kept, self._apply)

    async def _apply(self, node: Node) -> None:
        self.applied.append(node.version)
        if node.version == self.fails:
            raise self.error


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


async def test_a_newer_config_is_applied_and_said_to_be(box: Box) -> None:
    reply = await box.config.take(raw(3))
    assert (reply.to, reply.accepted) == ("config-3", True)
    assert box.applied == [3]
    assert box.config.node.version == 3


async def test_it_is_found_again_after_a_restart(box: Box, tmp_path: Path) -> None:
    await box.config.take(raw(3))
    assert Box(tmp_path).config.node.version == 3


async def test_a_retained_config_that_comes_again_changes_nothing(box: Box) -> None:
    await box.config.take(raw(3))
    assert (await box.config.take(raw(3))).accepted
    assert box.applied == [3]


async def test_an_older_one_is_refused_with_the_reason(box: Box) -> None:
    await box.config.take(raw(3))
    reply = await box.config.take(raw(2))
    assert not reply.accepted
    assert "older than 3" in reply.reason


async def test_one_for_another_node_is_refused(box: Box) -> None:
    reply = await box.config.take(raw(3, node="n2"))
    assert not reply.accepted
    assert "//vigil/c1/e1/n2" in reply.reason
    assert box.config.node.node == "n1"


@pytest.mark.parametrize("payload", [b"{", b"\xff", raw(3, devices=[{"id": "d1", "kind": "toaster"}])])
async def test_a_bad_one_is_refused_and_the_old_one_stays(box: Box, payload: bytes) -> None:
    reply = await box.config.take(payload)
    assert not reply.accepted
    assert reply.reason
    assert box.applied == []


async def test_one_that_cannot_be_put_into_effect_is_taken_back(box: Box, tmp_path: Path) -> None:
    box.fails = 4
    reply = await box.config.take(raw(4))
    assert not reply.accepted
    assert "no such camera" in reply.reason
    assert box.applied == [4, 0]
    assert Box(tmp_path).config.node.version == 0


async def test_whatever_a_source_trips_over_refuses_the_config_and_nothing_more(box: Box) -> None:
    box.fails, box.error = 4, ValueError("the recording is no zip file")
    reply = await box.config.take(raw(4))
    assert not reply.accepted
    assert "no zip file" in reply.reason
    assert box.config.node.version == 0


async def test_the_installer_s_file_counts_when_it_is_newer(box: Box, tmp_path: Path) -> None:
    await box.config.take(raw(3))
    box.file.write_bytes(raw(5))
    assert Box(tmp_path).config.node.version == 5


async def test_a_kept_config_of_another_address_does_not_count(box: Box, tmp_path: Path) -> None:
    await box.config.take(raw(3))
    box.file.write_bytes(raw(0, node="n9"))
    assert Box(tmp_path).config.node.node == "n9"


async def test_a_damaged_kept_config_is_set_aside(box: Box, tmp_path: Path) -> None:
    await box.config.take(raw(3))
    box.kept.write_bytes(b"\x00" * 100)
    assert Box(tmp_path).config.node.version == 0
    assert (tmp_path / "kept.damaged").exists()


async def test_reload_reads_the_installer_s_file_again(box: Box) -> None:
    box.file.write_bytes(raw(0, spool_max_mb=5))
    await box.config.reload()
    assert box.config.node.spool_max_mb == 5


async def test_reload_of_a_bad_file_keeps_the_present_config(box: Box) -> None:
    box.file.write_bytes(b"{")
    with pytest.raises(Rejected):
        await box.config.reload()
    assert box.applied == []
