"""Invented residents of two estates, for the drill's database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

COMMUNITY = "drill"
ESTATES = {"north": "北里", "south": "南里"}
PER_NODE = 30
HIGH_SHARE = 0.15
"""Of the flagged residents (issue 8)."""
_SURNAMES, _GIVEN = "王李张刘陈杨赵黄周吴", ("秀英", "桂兰", "玉梅", "建国", "德福", "志强")


def rows(flagged: int, rng: Random) -> dict[str, list[dict[str, Any]]]:
    """Return the registry's rows: flagged residents, their homes, pendants and edge boxes."""
    tables: dict[str, list[dict[str, Any]]] = {
        "community": [{"id": COMMUNITY, "name": "演练社区"}],
        "estate": [{"id": id_, "community": COMMUNITY, "name": name} for id_, name in ESTATES.items()],
        "zone": [],
        "node": [],
        "device": [],
        "resident": [],
        "assignment": [],
    }
    high = set(rng.sample(range(flagged), round(flagged * HIGH_SHARE)))
    for number in range(flagged):
        _one(tables, number, 3 if number in high else rng.choice((1, 2)), rng)
    return tables


def _one(tables: dict[str, list[dict[str, Any]]], number: int, risk: int, rng: Random) -> None:
    estate = list(ESTATES)[number % len(ESTATES)]
    node = f"box-{estate}-{number // len(ESTATES) // PER_NODE}"
    building, floor = f"{number // len(ESTATES) // 40 + 1}号楼", number // 4 % 18 + 1
    home = f"home-{number}"
    if node not in {row["id"] for row in tables["node"]}:
        tables["node"].append({"id": node, "estate": estate})
    door = f"{building}{floor}0{number % 4 + 1}"
    zone = {"id": home, "estate": estate, "name": door, "building": building, "floor": floor}
    tables["zone"].append(zone)
    tables["device"].append(
        {"id": f"pendant-{number}", "node": node, "kind": "pendant", "placement": "waist"}
    )
    tables["resident"].append(
        {
            "id": f"r{number}",
            "estate": estate,
            "home": home,
            "name": rng.choice(_SURNAMES) + rng.choice(_GIVEN),
            "phone": f"000-{number:04d}",
            "flagged": True,
            "risk": risk,
            "profile": {"key_holders": [{"name": "物业", "phone": "000-9000", "relation": "property"}]},
        }
    )
    tables["assignment"].append({"device": f"pendant-{number}", "resident": f"r{number}"})
