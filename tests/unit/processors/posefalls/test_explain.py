from __future__ import annotations

from xml.etree import ElementTree as ET

import msgspec

from processors.posefalls.explain import FIGURES, explain, strip
from processors.posefalls.features import Measures, measure
from tests.unit.processors.posefalls import figure
from tests.unit.processors.posefalls.test_features import event

SVG = "{http://www.w3.org/2000/svg}"
FALL = event(figure.FALLS["backwards"])


def test_the_sentence_says_how_far_how_fast_and_how_it_ended() -> None:
    sentence = explain(measure(FALL))
    assert sentence["en"].startswith("Camera: shoulders sank by ")
    assert sentence["en"].endswith("then lying")
    assert "卧姿" in sentence["zh"]


def test_the_sentence_says_so_when_nobody_was_to_be_seen() -> None:
    assert explain(Measures())["en"] == "Camera: a person sank out of sight"


def test_the_strip_shows_eight_figures_with_heads_and_limbs() -> None:
    panels = ET.fromstring(strip(FALL)).findall(f"{SVG}g")  # noqa: S314 - made by ourselves
    assert len(panels) == FIGURES
    assert all(len(panel.findall(f"{SVG}circle")) == 1 for panel in panels)
    assert all(len(panel.findall(f"{SVG}path")) == 12 for panel in panels)


def test_the_strip_leaves_a_frame_empty_in_which_nobody_was_seen() -> None:
    points = [[0] * 51 if n < 6 else frame for n, frame in enumerate(FALL.keypoints)]
    root = ET.fromstring(strip(msgspec.structs.replace(FALL, keypoints=points)))  # noqa: S314 - made by ourselves
    assert [len(panel) for panel in root.findall(f"{SVG}g")][:2] == [0, 0]


def test_a_single_unseen_frame_is_a_strip_as_well() -> None:
    one = msgspec.structs.replace(FALL, keypoints=[[0] * 51])
    assert len(ET.fromstring(strip(one)).findall(f"{SVG}g")) == 1  # noqa: S314 - made by ourselves


def test_the_strip_stays_small_enough_for_a_page() -> None:
    assert len(strip(FALL)) < 8000
