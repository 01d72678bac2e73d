"""Judge a sequence of key points by a rule whose every threshold means something.

Place in the flow: `processors.scoring` hands over what `edge.vision` cut out;
`processors.posefalls.features` measures it, and the packaged rule says how likely a fall is,
for the fusion to join with other cameras and worn devices.

The rule is a chain that is as strong as its weakest link: a fall takes the shoulders far
down, *and* the hips, *and* it does so fast.  How far each measure lies beyond its threshold,
in units of how softly the threshold is meant, is a margin in log-odds; the smallest counts.
A trunk that still looks upright at the end (somebody crouching, but also somebody lying
along the line of sight) weakens the link of speed: it then takes a faster fall to convince.

The rule has few numbers because one person's falls were at hand to choose them by; the
model card (`docs/models/camera.md`) says what that means.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from processors.decide import Judged
from processors.posefalls import features
from processors.posefalls.explain import explain
from processors.posefalls.features import Measures
from vigil.errors import ModelRefused
from vigil.modes import POSE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vigil.events import PoseSuspected

PACKAGED: Final = Path(__file__).parent / "models" / "pose.json"
NAME: Final = POSE


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a measure is undecided, and how far beyond it is 73% sure.

    Attributes:
        middle: The measure at which a fall and no fall are equally likely.
        softness: Added to it, the odds are e to 1.
    """

    middle: float
    softness: float

    def margin(self, measured: float) -> float:
        """Return how far a measure lies above the threshold, in log-odds."""
        return (measured - self.middle) / self.softness


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The numbers that decide.

    Attributes:
        shoulders_sunk: In body lengths; between a seat (0.3) and the floor (0.5 to 1.2).
        hips_sunk: In body lengths; between bending or a bed (0.1 to 0.17) and a mattress on the floor (0.23).
        speed: In body lengths a second: 0.5 is 0.85 m/s, below the 1 m/s of falls (Wu 2000).
        trunk_down: 1 minus `Measures.trunk_upright`; it can only weaken.
        certain: No score is higher, and none lower than 1 minus this.
    """

    shoulders_sunk: Threshold
    hips_sunk: Threshold
    speed: Threshold
    trunk_down: Threshold
    certain: float

    def probability(self, measured: Measures) -> float:
        """Return the probability that what was measured is a fall."""
        down = min(self.trunk_down.margin(1 - measured.trunk_upright), 0.0)
        links = (
            self.shoulders_sunk.margin(measured.shoulders_sunk),
            self.hips_sunk.margin(measured.hips_sunk),
            self.speed.margin(measured.speed) + down,
        )
        bound = math.log(self.certain / (1 - self.certain))
        return 1 / (1 + math.exp(-max(min(*links, bound), -bound)))


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in `models/pose.json`.

    Attributes:
        version: First twelve digits of `rule_sha256`: events and alerts name the rule by it.
        feature_schema: Names of the measures, in order.
        feature_schema_sha256: `features.schema_hash()` when the rule was made.
        rule_sha256: Of the rule's numbers as JSON.
        chosen_on: The only recordings at which the numbers were looked at.
        reported_on: Recordings kept for the figures in the model card.
    """

    version: str
    feature_schema: tuple[str, ...]
    feature_schema_sha256: str
    rule_sha256: str
    rule: Rule
    chosen_on: str
    reported_on: str


class PoseRule:
    """The packaged rule, ready to judge; holds no state and may be shared.

    Attributes:
        manifest: What the rule is.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    @classmethod
    def load(cls, path: Path = PACKAGED) -> PoseRule:
        """Load the rule.

        Raises:
            ModelRefused: It is missing, cannot be read, was changed, or does not fit this code.
        """
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError) as error:
            raise ModelRefused(NAME, error) from error
        expected = {
            "feature schema": (manifest.feature_schema_sha256, features.schema_hash()),
            "rule": (manifest.rule_sha256, rule_hash(manifest.rule)),
            "version": (manifest.version, manifest.rule_sha256[:12]),
        }
        for what, (stated, found) in expected.items():
            if stated != found:
                raise ModelRefused(NAME, f"its manifest states {what} {stated}, here it is {found}")
        return cls(manifest)

    def score(self, sequences: Sequence[PoseSuspected]) -> NDArray[np.float64]:
        """Return the probability that each sequence shows a fall, shape (n,)."""
        likely = [self.manifest.rule.probability(features.measure(sequence)) for sequence in sequences]
        return np.array(likely, np.float64)

    def judge(self, data: PoseSuspected) -> Judged:
        """Return the probability that a sequence shows a fall, and why in words."""
        measured = features.measure(data)
        likely = self.manifest.rule.probability(measured)
        return Judged(likely, NAME, self.manifest.version, explain(measured))


def rule_hash(rule: Rule) -> str:
    """Return the hash by which a rule is known."""
    return hashlib.sha256(msgspec.json.encode(rule)).hexdigest()


def packaged(rule: Rule, *, chosen_on: str, reported_on: str) -> Manifest:
    """Return the manifest of a rule made for this code."""
    digest = rule_hash(rule)
    return Manifest(
        version=digest[:12],
        feature_schema=Measures.__struct_fields__,
        feature_schema_sha256=features.schema_hash(),
        rule_sha256=digest,
        rule=rule,
        chosen_on=chosen_on,
        reported_on=reported_on,
    )
