from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import config
from edge.remote_config import RemoteConfig
from vigil import boxconfig
from vigil.errors import Misconfigured, Rejected

if TYPE_CHECKING:
    from edge.config import Node
    from vigil.events import Reply

CAMERA = {
    "id": "cam",
    "kind": "camera",
    "zone": "hall",
    "source": "eyes",
    "address": "rtsp://u:secret@10.0.0.7/1",
}
FILE: dict[str, Any] = {
    "community": "c1",
    "estate": "e1",
    "node": "n1",
    "devices": [
        CAMERA | {"view": {"masks": [[[0, 0], [1, 0], [1, 0.5]]]}},
        {"id": "pendant", "kind": "pendant", "zone": "hall", "source": "air"},
    ],
    "sources": {"eyes": {"kind": "cameras"}, "air": {"kind": "udp"}},
    "local_alarm": {"kind": "shell", "command": ["siren"]},
}
NO_CAMERA = {"without": {"cam": ["home_camera"]}}


def raw(version: int, **parts: Any) -> bytes:
    return json.dumps({"community": "c1", "estate": "e1", "node": "n1", "version": version, **parts}).encode()


class Box:
    """Remembers what was put into effect; `fails` is asked of each."""

    def __init__(self, folder: Path) -> None:
        self.applied: list[Node] = []
        self.error: Exception | None = None
        self.file, self.kept = folder / "node.json", folder / "kept.json"
        if not self.file.exists():
            self.write()
        self.config = RemoteConfig(self.file, self.kept, self._apply)

    def write(self, **changes: Any) -> None:
        self.file.write_text(json.dumps(FILE | changes))

    def take(self, payload: bytes) -> Reply:
        return asyncio.run(self.config.take(payload))

    @property
    def open(self) -> list[str]:
        """Cameras that are observed."""
        return [device.id for device in self.config.node.of_source("eyes")]

    async def _apply(self, node: Node) -> None:
        self.applied.append(node)
        error, self.error = self.error, None
        if error is not None:
            raise error


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def version(box: Box) -> int:
    has = box.take(b"{").has
    assert has is not None
    return has.version


def test_a_newer_config_is_applied_and_said_to_be(box: Box) -> None:
    document = raw(3, settings={"spool_max_mb": 64})
    reply = box.take(document)
    assert (reply.to, reply.accepted) == ("config-3", True)
    assert reply.has is not None
    assert (reply.has.version, reply.has.digest) == (3, boxconfig.digest(document))
    assert [node.spool_max_mb for node in box.applied] == [64]


def test_it_is_found_again_after_a_restart(box: Box, tmp_path: Path) -> None:
    box.take(raw(3, settings={"spool_max_mb": 64}))
    again = Box(tmp_path)
    assert version(again) == 3
    assert again.config.node.spool_max_mb == 64


def test_a_retained_config_that_comes_again_changes_nothing_and_is_answered_again(box: Box) -> None:
    document = raw(3, settings={"spool_max_mb": 64})
    first = box.take(document)
    assert box.take(document) == first
    assert len(box.applied) == 1


def test_an_older_one_is_refused_with_the_reason_and_what_the_box_has(box: Box) -> None:
    box.take(raw(3))
    reply = box.take(raw(2, settings={"spool_max_mb": 64}))
    assert not reply.accepted
    assert "older than 3" in reply.reason
    assert reply.has is not None
    assert reply.has.version == 3


def test_another_document_of_the_same_version_is_refused(box: Box) -> None:
    box.take(raw(3))
    reply = box.take(raw(3, settings={"spool_max_mb": 64}))
    assert not reply.accepted
    assert "another version 3" in reply.reason


@pytest.mark.parametrize("to", [{"node": "n2"}, {"estate": "e2"}, {"community": "c2"}])
def test_one_for_another_node_is_refused_and_forbids_nothing_here(box: Box, to: dict[str, str]) -> None:
    reply = box.take(raw(3, **to, **NO_CAMERA))
    assert not reply.accepted
    assert "this is //vigil/c1/e1/n1" in reply.reason
    assert box.open == ["cam"]


BAD = {
    "no JSON": b"{",
    "no text": b"\xff",
    "no version": raw(0),
    "a misspelt field": raw(3, settings={"spool_mb": 64}),
    "a device that is not here": raw(3, settings={"devices": {"d9": {"off": True}}}),
    "a view of a pendant": raw(3, settings={"devices": {"pendant": {"view": {"fps": 4}}}}),
    "a worn camera": raw(3, settings={"devices": {"cam": {"placement": "wrist"}}}),
    "a mask of two corners": raw(3, settings={"devices": {"cam": {"view": {"masks": [[[0, 0], [1, 1]]]}}}}),
    "too long": raw(3, settings={"devices": {"cam": {"view": {"masks": [[[0, 0], [1, 1], [0, 1]]] * 4000}}}}),
    "a command to run": raw(3, local_alarm={"kind": "shell", "command": ["curl", "evil"]}),
    "a camera's address": raw(3, settings={"devices": {"cam": {"address": "rtsp://evil/1"}}}),
    "nested by the thousand": b"[" * 9000,
}


@pytest.mark.parametrize("payload", BAD.values(), ids=BAD.keys())
def test_a_bad_one_is_refused_with_the_reason_and_the_old_one_stays(box: Box, payload: bytes) -> None:
    before = box.config.node
    reply = box.take(payload)
    assert not reply.accepted
    assert reply.reason
    assert box.applied == []
    assert box.config.node == before
    assert reply.has is not None
    assert reply.has.version == 0


@pytest.mark.parametrize(
    "error", [Misconfigured("VIGIL_EDGE_CONFIG", "no such camera"), ValueError("no such camera")]
)
def test_one_that_cannot_be_put_into_effect_is_taken_back(box: Box, tmp_path: Path, error: Exception) -> None:
    box.error = error
    before = box.config.node
    reply = box.take(raw(4, settings={"spool_max_mb": 64}))
    assert not reply.accepted
    assert "no such camera" in reply.reason
    assert box.applied[-1] == before == box.config.node
    assert version(Box(tmp_path)) == 0


def test_a_camera_without_consent_is_not_opened_and_the_pendant_goes_on(box: Box) -> None:
    reply = box.take(raw(1, **NO_CAMERA))
    assert reply.accepted
    assert reply.has is not None
    assert reply.has.off == ["cam"]
    assert box.config.node.sources.keys() == {"air"}
    assert {device.id for device in box.config.node.devices} == {"n1", "cam", "pendant"}


def test_a_camera_is_opened_again_when_it_is_agreed_to(box: Box) -> None:
    box.take(raw(1, **NO_CAMERA))
    box.take(raw(2))
    assert box.open == ["cam"]


def test_nobody_to_ask_changes_nothing_a_restarted_box_goes_by_what_it_knew(box: Box, tmp_path: Path) -> None:
    box.take(raw(1, **NO_CAMERA))
    again = Box(tmp_path)
    assert again.open == []
    assert again.config.without == {"cam": ["home_camera"]}


REFUSED = {
    "a setting that does not fit": raw(2, settings={"devices": {"d9": {}}}, **NO_CAMERA),
    "a field of a later version": raw(2, settings={"later": 1}, **NO_CAMERA),
    "and besides": raw(2, later={"x": 1}, **NO_CAMERA),
}


@pytest.mark.parametrize("payload", REFUSED.values(), ids=REFUSED.keys())
def test_what_a_refused_config_forbids_is_forbidden_all_the_same(
    box: Box, tmp_path: Path, payload: bytes
) -> None:
    box.take(raw(1, settings={"spool_max_mb": 64}))
    reply = box.take(payload)
    assert not reply.accepted
    assert reply.has is not None
    assert (reply.has.version, reply.has.off) == (1, ["cam"])
    again = Box(tmp_path)
    assert again.open == []
    assert again.config.node.spool_max_mb == 64
    assert again.take(raw(3)).accepted
    assert again.open == ["cam"], "a whole one says it all"


def test_a_config_that_fails_does_not_open_a_forbidden_camera_again(box: Box) -> None:
    box.error = ValueError("the port is taken")
    assert not box.take(raw(1, settings={"spool_max_mb": 64}, **NO_CAMERA)).accepted
    assert box.open == []
    assert [node.of_source("eyes") for node in box.applied] == [[], []]


def test_what_a_box_alone_still_knew_is_forbidden_as_well(box: Box) -> None:
    box.take(raw(1, held={"cam": ["home_camera"]}))
    assert box.open == []


def test_people_may_switch_any_device_off(box: Box) -> None:
    reply = box.take(raw(1, settings={"devices": {"pendant": {"off": True}}}))
    assert reply.has is not None
    assert reply.has.off == ["pendant"]
    assert box.config.node.of_source("air") == []


def test_masks_are_added_to_the_installer_s_and_everything_else_of_the_file_stays(box: Box) -> None:
    area = [[0, 0], [0.5, 0], [0.5, 0.5]]
    view = {"fps": 4, "masks": [area], "zones": {"bed": area}}
    box.take(raw(1, settings={"devices": {"cam": {"view": view}, "pendant": {"placement": "waist"}}}))
    camera, pendant = (box.config.node.of_source(name)[0] for name in ("eyes", "air"))
    assert len(camera.view.masks) == 2
    assert (camera.view.fps, list(camera.view.zones), pendant.worn) == (4, ["bed"], "waist")
    assert camera.address == CAMERA["address"]
    assert box.config.node.local_alarm == config.ShellAlarm(command=["siren"])


def test_reload_reads_the_installer_s_file_again_and_keeps_what_the_platform_said(box: Box) -> None:
    box.take(raw(1, **NO_CAMERA))
    box.write(spool_max_mb=5)
    asyncio.run(box.config.reload())
    assert box.config.node.spool_max_mb == 5
    assert box.open == []


@pytest.mark.parametrize("content", ["{", json.dumps(FILE | {"devices": [{"id": "d", "kind": "toaster"}]})])
def test_reload_of_a_bad_file_keeps_the_present_config(box: Box, content: str) -> None:
    box.file.write_text(content)
    with pytest.raises(Rejected):
        asyncio.run(box.config.reload())
    assert box.applied == []
    assert box.open == ["cam"]


def test_a_file_that_the_settings_no_longer_fit_counts_without_them_and_with_what_is_forbidden(
    box: Box, tmp_path: Path
) -> None:
    box.take(raw(1, settings={"devices": {"pendant": {"placement": "waist"}}}, **NO_CAMERA))
    box.write(devices=[CAMERA])
    again = Box(tmp_path)
    assert again.open == []
    assert version(again) == 0, "the platform is told that its settings do not hold"


def test_a_kept_config_of_another_address_does_not_count(box: Box, tmp_path: Path) -> None:
    box.take(raw(3, **NO_CAMERA))
    box.write(estate="e9")
    again = Box(tmp_path)
    assert version(again) == 0
    assert again.open == ["cam"]


@pytest.mark.parametrize("content", [b"\x00" * 100, b"{}{", raw(3)])
def test_a_damaged_kept_config_is_set_aside(box: Box, tmp_path: Path, content: bytes) -> None:
    box.take(raw(3))
    box.kept.write_bytes(content)
    assert version(Box(tmp_path)) == 0
    assert (tmp_path / "kept.damaged").exists()


documents = st.builds(
    raw,
    st.integers(1, 5),
    without=st.sampled_from([{}, NO_CAMERA["without"]]),
    settings=st.sampled_from([{}, {"spool_max_mb": 64}, {"devices": {"d9": {}}}]),
)


@settings(max_examples=40)
@given(st.lists(documents, max_size=12), st.integers(0, 12))
def test_in_any_order_and_number_the_newest_word_on_consent_is_what_holds(
    came: list[bytes], restart: int
) -> None:
    """Repeats, older ones late, bad ones between, and a restart anywhere."""
    with tempfile.TemporaryDirectory() as folder:
        box = Box(Path(folder))
        forbidden, good = False, 0
        for n, document in enumerate(came):
            if n == restart:
                box = Box(Path(folder))
            parts = msgspec.json.decode(document)
            fits = "devices" not in parts["settings"]
            newer = parts["version"] > good
            box.take(document)
            if newer and fits:
                good, forbidden = parts["version"], bool(parts["without"])
            elif newer:
                forbidden = forbidden or bool(parts["without"])
            assert box.open == ([] if forbidden else ["cam"])
            assert version(box) == good
