"""An uploaded plan: shapes stay, whatever could act or fetch is refused with what to mend."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.svg import LARGEST, SVG, Unfit, clean

pytestmark = pytest.mark.trust
HEAD = f'<svg xmlns="{SVG}" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 200 100">'


def plan(inside: str) -> str:
    return f"{HEAD}{inside}</svg>"


def test_shapes_texts_and_colours_stay_and_what_a_program_adds_for_itself_goes() -> None:
    drawn = clean(
        f'<svg xmlns="{SVG}" xmlns:i="http://inkscape" viewBox="0 0 200 100" i:version="1">'
        '<!-- made by --><i:view zoom="2"/>after<defs><linearGradient id="g"/></defs>'
        '<rect width="20" height="5" fill="url(#g)" style="stroke:#000;fill:url(#g)"/><use href="#g"/>'
        "<text>3号楼</text></svg>"
    )
    assert drawn.high == 0.5
    assert all(part in drawn.svg for part in ("3号楼", "url(#g)", 'href="#g"', "after"))
    assert "inkscape" not in drawn.svg
    assert "made by" not in drawn.svg


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        '<x:script xmlns:x="http://www.w3.org/1999/xhtml">alert(1)</x:script>',
        "<foreignObject/>",
        '<image href="https://else.where/x.png"/>',
        '<image href="data:image/png;base64,AA"/>',
        "<style>@import url(//else.where)</style>",
        '<rect onload="alert(1)"/>',
        '<rect OnClick="alert(1)"/>',
        '<a href="javascript:alert(1)"><rect/></a>',
        '<use href="https://else.where/#x"/>',
        '<use xlink:href="data:image/svg+xml,x"/>',
        '<rect fill="url(https://else.where)"/>',
        "<rect style=\"fill:URL( 'https://else.where' )\"/>",
        '<rect style="fill:url(https://else.where"/>',
        '<rect style="background:\\75 rl(x)"/>',
        '<g><g><set attributeName="href" to="javascript:alert(1)"/></g></g>',
    ],
)
def test_what_could_act_or_fetch_is_refused_by_name(inside: str) -> None:
    with pytest.raises(Unfit):
        clean(plan(inside))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no svg",
        "<html/>",
        '<!DOCTYPE svg [<!ENTITY a "b">]>' + plan("&a;"),
        f'<svg xmlns="{SVG}"><rect/></svg>',
        f'<svg xmlns="{SVG}" viewBox="0 0 0 5"/>',
        plan("<g>" * 200 + "</g>" * 200),
        plan("<g/>" * 30_000),
        plan("x" * LARGEST),
    ],
)
def test_what_is_no_plan_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(Unfit) as refused:
        clean(text)
    assert len(refused.value.detail) > 20


def test_a_size_stands_in_for_a_view_box() -> None:
    drawn = clean(f'<svg xmlns="{SVG}" width="210mm" height="105mm"><rect/></svg>')
    assert drawn.high == 0.5
    assert 'viewBox="0 0 210 105"' in drawn.svg


NAMES = st.sampled_from(["rect", "g", "script", "style", "text", "image", "use", "x:y", "a"])
VALUES = st.sampled_from(["1", "#a", "url(#a)", "url(//x)", "javascript:x", "https://x", "@import 'x'"])
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["fill", "style", "href", "onload", "id", "xlink:href"]), VALUES, max_size=3
)


def _written(attributes: dict[str, str]) -> str:
    return " ".join(f'{name}="{value}"' for name, value in attributes.items())


@given(st.lists(st.tuples(NAMES, ATTRIBUTES), max_size=6))
def test_whatever_comes_through_neither_acts_nor_refers_outside(
    parts: list[tuple[str, dict[str, str]]],
) -> None:
    inside = "".join(f"<{name} xmlns:x='urn:x' {_written(attributes)}/>" for name, attributes in parts)
    try:
        drawn = clean(plan(inside))
    except Unfit:
        return
    for element in ET.fromstring(drawn.svg).iter():  # noqa: S314 - what was cleaned is what is looked at
        assert element.tag.startswith(f"{{{SVG}}}")
        assert element.tag.rpartition("}")[2] not in ("script", "style", "image", "a")
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on")
            assert not any(bad in value for bad in ("//", "javascript", "import"))
