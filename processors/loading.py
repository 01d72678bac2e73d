"""Load every version of the models: the packaged ones, and candidates beside them.

Place in the flow: `python -m processors` calls `scorer` once at its start and hands it to
`processors.scoring`.  A packaged model that does not fit ends the process, for without it nobody is
protected; a candidate that does not fit is left out and logged, for it protects nobody yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import structlog

from processors.drift import Reference, Watch
from processors.falls.manifest import PLACEMENTS
from processors.falls.model import PACKAGED, FallModel
from processors.posefalls.model import PoseRule
from processors.scoring import Scorer
from vigil.errors import ModelRefused
from vigil.modes import POSE, ROUTINES, ROUTINES_VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from processors.drift import Name

_log = structlog.get_logger(__name__)


def scorer(watch: Watch | None = None, candidates: Path | None = None) -> Scorer:
    """Load the models.

    Args:
        watch: For drift; is given the models' references.
        candidates: Holds a folder for each further version, and in it, as in `falls/models` and
            `posefalls/models`, `<placement>.onnx` with `<placement>.json`, or `pose.json`.

    Raises:
        ModelRefused: A packaged model does not fit this code.
    """
    wearables = {placement: FallModel.load(placement) for placement in PLACEMENTS}
    folders = sorted(path for path in candidates.iterdir() if path.is_dir()) if candidates else []
    worn = {placement: _worn(folders, placement, model) for placement, model in wearables.items()}
    watch = watch or Watch({})
    for folder in (PACKAGED, *folders):
        watch.references |= _references(folder)
    return Scorer(wearables, PoseRule.load(), worn, _poses(folders), watch)


def _references(folder: Path) -> dict[Name, Reference]:
    """Return what the models of a folder were made on; one that cannot be read is watched by nobody."""
    found = {}
    for placement in PLACEMENTS:
        path = folder / f"{placement}.reference.json"
        try:
            made = msgspec.json.decode(path.read_bytes(), type=Reference)
        except FileNotFoundError:
            continue
        except (OSError, msgspec.DecodeError) as error:
            _log.error("reference cannot be read; drift is not watched", path=str(path), error=str(error))
            continue
        found[f"falls-{placement}", made.version] = made
    return found


def packaged_versions() -> dict[str, str]:
    """Return the version of each packaged detector, by its name in `vigil.modes`."""
    worn = {f"falls-{placement}": FallModel.load(placement).manifest.version for placement in PLACEMENTS}
    return {**worn, POSE: PoseRule.load().manifest.version, ROUTINES: ROUTINES_VERSION}


def _worn(folders: list[Path], placement: str, packaged: FallModel) -> list[FallModel]:
    found = {packaged.manifest.version: packaged}
    for folder in folders:
        if (folder / f"{placement}.json").exists():
            try:
                model = FallModel.load(placement, folder)
            except ModelRefused as error:
                _log.error("candidate left out", folder=str(folder), error=str(error))
            else:
                found.setdefault(model.manifest.version, model)
    return list(found.values())[1:]


def _poses(folders: list[Path]) -> list[PoseRule]:
    found = []
    for folder in folders:
        if (folder / "pose.json").exists():
            try:
                found.append(PoseRule.load(folder / "pose.json"))
            except ModelRefused as error:
                _log.error("candidate left out", folder=str(folder), error=str(error))
    return found
