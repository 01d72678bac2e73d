"""The community of `make up`: invented people in four estates, and the boxes that watch them.

Place in the flow: `deploy.embedded` writes `tables` into the database (the columns are those
of `vigil/schema`) and one file for each of `nodes`, which `python -m edge` reads.  Without
recordings, one box an estate simulates ten residents and marks all of it `demo`; with them,
the estates replay SisFall, WEDA, recorded homes and UP-Fall videos as live devices.

Nobody here exists: the names are drawn by lot, the telephone numbers cannot be dialled.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from edge import config
from edge.config import Device, HomeLog, Node, Recordings, Simulator, SourceSpec, View

if TYPE_CHECKING:
    from pathlib import Path

    from edge.config import DeviceKind

Row = dict[str, Any]

COMMUNITY: Final = "demo"
ZONE: Final = "Asia/Shanghai"
SEED: Final = 20240611
PER_ESTATE: Final = 10
"""Flagged residents of an estate; 40 in all."""
ESTATES: Final = {
    "cuihu": ("翠湖里", 0.0, 0.0),
    "huaian": ("槐安里", 390.0, 0.0),
    "nanqiao": ("南桥园", 0.0, 390.0),
    "wangjiang": ("望江里", 390.0, 390.0),
}
"""Name, and corner in metres: four squares of 390 m make 0.6 km²."""
CONSENT_TEXT: Final = "2024-05"
PURPOSES: Final = ("fall_detection", "routine_monitoring", "home_camera")
LEGAL_BASIS: Final = "PIPL Art. 26: public security; signs are posted"
FIRST_FALL_S: Final = (12.0, 70.0, 130.0, 190.0)
"""When the first fall of each estate happens, in seconds after the start."""
FALL_EVERY_S: Final = 330.0
"""Mean seconds between two falls of an estate: with four estates, one about every 80 s."""

_SURNAMES: Final = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_GIVEN: Final = (
    "秀英", "桂兰", "玉梅", "淑珍", "凤英", "素芬", "惠芳", "丽华", "美玲", "月娥",
    "建国", "德福", "志强", "永康", "文斌", "国栋", "长生", "守信", "明远", "福林",
)  # fmt: skip
_NOTES: Final = ("听力不好，请用力敲门", "", "用助行器，开门慢", "", "家里有狗")
"""What a helper at the door must know."""
_HOME_SENSORS: Final[tuple[DeviceKind, ...]] = ("door", "motion", "bed", "appliance", "water_use")
_PUBLIC: Final = (
    ("garden", "中心花园", 120.0, 150.0),
    ("gate", "北门", 195.0, 10.0),
    ("activity", "活动室", 260.0, 200.0),
)
_HOSPITAL: Final = {"from": "2024-05-06T08:00+08:00", "until": "2024-05-20T12:00+08:00"}
"""A stay that is over: who is away is not watched, and nobody of the demonstration should be away."""
_VISITS: Final = [{"days": [0, 2, 4], "from": "09:30", "until": "10:30"}]
"""A carer's hours: the front door is theirs then."""
_HOUSES: Final = ("houseA", "houseB", "houseC", "houseD", "houseE")
_CAMERAS: Final[dict[str, tuple[str, ...]]] = {
    "garden": ("1.1", "6.1", "7.1", "6.2", "8.1"),
    "gate": ("6.2", "7.2", "6.1"),
    "activity": ("8.2", "7.1", "8.1", "7.2"),
}
"""What the camera of a zone sees over and over, as activity and trial of the UP-Fall videos: in
the garden somebody falls forward, then for some two minutes people walk, stand and sit."""


@dataclass(frozen=True, slots=True)
class Staff:
    """Somebody who works here, with the password of the demonstration."""

    id: str
    name: str
    role: str
    estates: tuple[str, ...]
    phone: str


STAFF: Final = (
    Staff("officer", "韩晓东", "duty_officer", ("*",), "000-0101"),
    Staff("officer2", "沈佳怡", "duty_officer", ("*",), "000-0102"),
    Staff("officer3", "顾海涛", "duty_officer", ("*",), "000-0108"),
    Staff("officer4", "苏婷", "duty_officer", ("*",), "000-0109"),
    Staff("supervisor", "孟凡", "supervisor", ("*",), "000-0103"),
    Staff("supervisor2", "贺敏", "supervisor", ("*",), "000-0110"),
    Staff("manager", "白雪梅", "community_manager", ("*",), "000-0104"),
    Staff("grid1", "程立", "grid_worker", ("cuihu", "huaian"), "000-0105"),
    Staff("grid2", "丁宁", "grid_worker", ("nanqiao", "wangjiang"), "000-0106"),
    Staff("grid3", "范琳", "grid_worker", ("wangjiang",), "000-0111"),
    Staff("grid4", "石磊", "grid_worker", ("huaian",), "000-0112"),
    Staff("grid5", "唐雨", "grid_worker", ("nanqiao",), "000-0113"),
    Staff("grid6", "姚军", "grid_worker", ("cuihu",), "000-0114"),
    Staff("ops", "陆航", "ops", ("*",), "000-0107"),
)
DUTY: Final = {"duty_officer": "officer", "supervisor": "supervisor", "grid_worker": "grid_worker"}
"""What somebody of a role does on shift."""
NIGHT_CREW: Final = frozenset({"officer3", "officer4", "supervisor2", "grid2", "grid4", "grid6"})
"""On duty from 20:00 to 08:00; the others from 08:00 to 20:00."""


@dataclass(frozen=True, slots=True)
class DemoCommunity:
    """Everything that a demonstration starts with.

    Attributes:
        tables: Rows by table, in an order that satisfies the foreign keys.
        nodes: What each edge box's file says; a camera's address is the name of a playlist.
        playlists: Videos by the playlist's name.
        staff: Accounts.
    """

    tables: dict[str, list[Row]]
    nodes: tuple[Node, ...]
    playlists: dict[str, list[Path]]
    staff: tuple[Staff, ...] = STAFF

    def write_nodes(self, folder: Path) -> dict[str, Path]:
        """Write each node's file and the playlists, and return the files by the node's id."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = {node.node: folder / f"{node.node}.json" for node in self.nodes}
        for node in self.nodes:
            paths[node.node].write_bytes(msgspec.json.format(msgspec.json.encode(_placed(node, folder))))
        for name, videos in self.playlists.items():
            _write_playlist(folder / name, videos)
        return paths


def community(data: Path | None = None, pose_model: Path | None = None) -> DemoCommunity:
    """Invent the community.

    Args:
        data: Folder of the recordings; None simulates.
        pose_model: The cameras' model; without it they report motion only.
    """
    residents = _residents(Random(SEED))  # noqa: S311 - an invented community is no secret
    if data is None:
        nodes = tuple(_simulated(estate, n, residents[estate]) for n, estate in enumerate(ESTATES))
        return DemoCommunity(_tables(residents, nodes), nodes, {})
    nodes = _replayed(data, pose_model, residents)
    return DemoCommunity(_tables(residents, nodes), nodes, _playlists(data))


@dataclass(frozen=True, slots=True)
class _Resident:
    """A resident row, the zone row of the home, and what stands in it or is worn.

    `wears` is a kind of wearable, or `sos_button` for somebody who does not want one.
    """

    row: Row
    home: Row
    wears: DeviceKind
    consents: tuple[str, ...] = PURPOSES

    @property
    def id(self) -> str:
        return str(self.row["id"])

    @property
    def zone(self) -> str:
        return str(self.home["id"])


def _residents(rng: Random) -> dict[str, list[_Resident]]:
    names = [surname + given for surname in _SURNAMES for given in _GIVEN]
    drawn = iter(rng.sample(names, PER_ESTATE * len(ESTATES)))
    return {estate: [_resident(rng, estate, n, next(drawn)) for n in range(PER_ESTATE)] for estate in ESTATES}


def _resident(rng: Random, estate: str, n: int, name: str) -> _Resident:
    building, floor = n // 2 + 1, rng.randint(1, 6)
    _, x0, y0 = ESTATES[estate]
    home = {
        "id": f"{estate}-home{n:02d}",
        "estate": estate,
        "name": f"{building}号楼{rng.randint(1, 3)}单元{floor}0{n % 2 + 1}",
        "building": f"{building}号楼",
        "floor": floor,
        "public": False,
        "legal_basis": None,
        "x_m": round(x0 + 40 + 65 * (building - 1) + rng.uniform(-8, 8), 1),
        "y_m": round(y0 + 60 + 220 * (n % 2) + rng.uniform(-8, 8), 1),
    }
    age = rng.randint(72, 94)
    row = {
        "id": f"r-{estate}{n:02d}",
        "estate": estate,
        "home": home["id"],
        "name": name,
        "phone": f"000-{rng.randint(1000, 9999)}",
        "flagged": True,
        "risk": 3 if age >= 88 else rng.choice((1, 1, 2)),
        "lives_alone": rng.random() < 0.7,
        "profile": {"age": age, **_contacts(estate, n), **_habits(n)},
    }
    # The ninth of an estate wants no detection at all, and has a button.
    if n == PER_ESTATE - 1:
        return _Resident(row, home, "sos_button", ())
    return _Resident(row, home, "wrist_band" if n % 3 == 2 else "pendant")


def _habits(n: int) -> Row:
    """Return what is known of a home: a carer's hours, and for one resident of each estate a stay in hospital."""
    visits: Row = {"visits": _VISITS} if n % 4 == 3 else {}
    return visits | ({"absences": [_HOSPITAL]} if n == PER_ESTATE - 2 else {})


def _contacts(estate: str, n: int) -> Row:
    """Return whom to telephone and who has a key: what the paper in a fallback is for."""
    number = 100 * list(ESTATES).index(estate) + n
    family = {"name": f"{_SURNAMES[number % 20]}女士", "phone": f"000-7{number:03d}", "relation": "女儿"}
    neighbour = {
        "name": f"{_SURNAMES[(number + 7) % 20]}师傅",
        "phone": f"000-6{number:03d}",
        "relation": "邻居",
    }
    property_ = {"name": f"{ESTATES[estate][0]}物业值班室", "phone": "000-0300", "relation": "物业"}
    return {
        "family": [family] if n % 4 else [],
        "key_holders": [neighbour, property_] if n % 3 else [property_],
        "note": _NOTES[n % len(_NOTES)],
    }


def _simulated(estate: str, n: int, residents: list[_Resident]) -> Node:
    devices = [Device(id=f"{r.id}-{r.wears}", kind=r.wears, zone=r.zone, source="day") for r in residents]
    for resident in residents[:4]:
        devices += [
            Device(id=f"{resident.zone}-{kind}", kind=kind, zone=resident.zone, source="day")
            for kind in _HOME_SENSORS
        ]
    day = Simulator(seed=SEED + n, first_fall_s=FIRST_FALL_S[n], fall_every_s=FALL_EVERY_S)
    return _node(estate, "box", devices, {"day": day})


def _replayed(data: Path, pose_model: Path | None, residents: dict[str, list[_Resident]]) -> tuple[Node, ...]:
    waists, wrists, homes, cameras = ESTATES
    return (
        _wearables(waists, residents[waists], data, "sisfall", "SA{:02d}"),
        _wearables(wrists, residents[wrists], data, "weda", "U{:02d}"),
        _homes(homes, residents[homes], data),
        _cameras(cameras, pose_model),
    )


def _wearables(estate: str, residents: list[_Resident], data: Path, dataset: str, subject: str) -> Node:
    kind: DeviceKind = "pendant" if dataset == "sisfall" else "wrist_band"
    devices = [
        Device(
            id=f"{r.id}-{kind}",
            kind=kind,
            zone=r.zone,
            placement="waist" if dataset == "sisfall" else "wrist",
            source=dataset,
            address=subject.format(n + 1),
        )
        for n, r in enumerate(residents)
        if r.wears != "sos_button"
    ]
    first = 8.0 if dataset == "sisfall" else 50.0
    spec = Recordings(
        path=str(data / dataset),
        dataset="sisfall" if dataset == "sisfall" else "weda",
        seed=SEED,
        first_fall_s=first,
        fall_every_s=FALL_EVERY_S / 2,
    )
    return _node(estate, "box", devices, {dataset: spec})


def _homes(estate: str, residents: list[_Resident], data: Path) -> Node:
    # Imported here: without recordings nobody needs the replay.
    from edge.sources.home_log import kind_of, names  # noqa: PLC0415

    devices: list[Device] = []
    specs: dict[str, SourceSpec] = {}
    for house, resident in zip(_HOUSES, residents, strict=False):
        log = data / "kasteren_mit" / f"{house}.sensors"
        specs[house] = HomeLog(path=str(log))
        devices += [
            Device(
                id=f"{resident.zone}-s{number}",
                kind=kind_of(name),
                zone=resident.zone,
                source=house,
                address=str(number),
                model=name,
            )
            for number, name in sorted(names(log).items())
        ]
    return _node(estate, "box", devices, specs)


def _cameras(estate: str, pose_model: Path | None) -> Node:
    devices = [
        Device(
            id=f"{estate}-cam-{zone}",
            kind="camera",
            zone=f"{estate}-{zone}",
            source="cameras",
            address=_playlist(zone),
            view=View(repeat=True),
        )
        for zone in _CAMERAS
    ]
    spec = config.Cameras(pose_model=str(pose_model) if pose_model else None)
    return _node(estate, "cameras", devices, {"cameras": spec})


def _playlist(zone: str) -> str:
    return f"{zone}.ffconcat"


def _playlists(data: Path) -> dict[str, list[Path]]:
    videos = data.absolute() / "upfall_video_s1"
    return {
        _playlist(zone): [
            videos / f"Activity{activity}" / "Subject1" / f"Trial{trial}Cam{camera}.mp4"
            for activity, trial in (item.split(".") for item in items)
        ]
        for camera, (zone, items) in zip((1, 1, 2), _CAMERAS.items(), strict=True)
    }


def _write_playlist(path: Path, videos: list[Path]) -> None:
    """Write what ffmpeg's concat demuxer plays as one video; it takes plain names beside it only."""
    lines = ["ffconcat version 1.0"]
    for n, video in enumerate(videos):
        link = path.with_name(f"{path.stem}-{n}{video.suffix}")
        link.unlink(missing_ok=True)
        link.symlink_to(video)
        lines.append(f"file {link.name}")
    path.write_text("\n".join([*lines, ""]), encoding="ascii")


def _placed(node: Node, folder: Path) -> Node:
    """Return a node whose cameras' playlists are where they will be written."""
    devices = [
        msgspec.structs.replace(device, address=str(folder.absolute() / device.address))
        if device.kind == "camera" and device.address
        else device
        for device in node.devices
    ]
    return msgspec.structs.replace(node, devices=devices)


def _node(
    estate: str,
    name: str,
    devices: list[Device],
    specs: dict[str, SourceSpec],
) -> Node:
    id_ = f"{estate}-{name}"
    hub = Device(id=id_, kind="hub", model="vigil-edge")
    return Node(
        community=COMMUNITY,
        estate=estate,
        node=id_,
        devices=[hub, *devices],
        sources=specs,
        synthetic="demo" if any(isinstance(spec, Simulator) for spec in specs.values()) else None,
        spool_max_mb=256,
    )


def _tables(residents: dict[str, list[_Resident]], nodes: tuple[Node, ...]) -> dict[str, list[Row]]:
    everybody = [resident for of_estate in residents.values() for resident in of_estate]
    owner = {resident.zone: resident for resident in everybody}
    _name_exits(owner, nodes)
    devices = [(node, device) for node in nodes for device in node.devices]
    return {
        "community": [{"id": COMMUNITY, "name": "示范社区", "time_zone": ZONE}],
        "estate": [
            {"id": id_, "community": COMMUNITY, "name": name} for id_, (name, _, _) in ESTATES.items()
        ],
        "zone": [*_public_zones(), *(resident.home for resident in everybody)],
        "node": [{"id": n.node, "estate": n.estate, "synthetic": n.synthetic, "zone": None} for n in nodes],
        "device": [
            {"id": d.id, "node": node.node, "zone": d.zone, "kind": d.kind, "placement": d.worn}
            for node, d in devices
        ],
        "resident": [resident.row for resident in everybody],
        "assignment": [{"device": d.id, "resident": owner[d.zone].id} for _, d in devices if d.zone in owner],
        "consent": [_consent(r, purpose) for r in everybody for purpose in PURPOSES],
    }


def _name_exits(owner: dict[str, _Resident], nodes: tuple[Node, ...]) -> None:
    """Write into the profiles which devices are front doors: without one nobody is known to go out."""
    for device in (device for node in nodes for device in node.devices):
        if device.kind == "door" and device.zone in owner and _is_front(device):
            owner[device.zone].row["profile"].setdefault("exit_doors", []).append(device.id)


def _is_front(device: Device) -> bool:
    """Return whether a door leads out: in a simulated home the one there is, in a log what its name says."""
    return not device.model or any(word in device.model.lower() for word in ("front", "main", "entrance"))


def _consent(resident: _Resident, purpose: str) -> Row:
    return {
        "resident": resident.id,
        "purpose": purpose,
        "granted": purpose in resident.consents,
        "text_version": CONSENT_TEXT,
        "given_by": resident.id,
    }


def _public_zones() -> list[Row]:
    return [
        {
            "id": f"{estate}-{zone}",
            "estate": estate,
            "name": name,
            "building": None,
            "floor": None,
            "public": True,
            "legal_basis": LEGAL_BASIS,
            "x_m": x0 + x,
            "y_m": y0 + y,
        }
        for estate, (_, x0, y0) in ESTATES.items()
        for zone, name, x, y in _PUBLIC
    ]
