"""Say in a sentence what was not as usual; without names, in every language of the console.

Place in the flow: `processors.routines.watch` asks for the sentence of each finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta, tzinfo

Sentence = dict[str, str]


def clock(at: datetime, zone: tzinfo) -> str:
    """Return the time of day by the home's clock."""
    return at.astimezone(zone).strftime("%H:%M")


def minute(of_day: int) -> str:
    """Return a minute of the day as a time."""
    return f"{of_day // 60 % 24:02}:{of_day % 60:02}"


def hours(length: timedelta) -> str:
    """Return a length of time in hours, to the half hour below."""
    halves = int(length.total_seconds() // 1800)
    return f"{halves / 2:g}"


def silent(since: str, limit: str, up: str | None, days: int) -> Sentence:
    """Say that a person has given no sign: `up` is when they are usually up, if that is what is missed."""
    if not days:
        return {
            "en": f"No sign of activity at home since {since}; habits are not known yet",
            "zh": f"{since}以来家中无活动迹象，作息尚未掌握",
        }
    if up is not None:
        return {
            "en": f"Usually up by {up}; nothing since {since}",
            "zh": f"通常{up}前起床，{since}以来无任何活动",
        }
    return {
        "en": f"Nothing since {since}; at this time of day it is hardly ever quiet for {limit} h",
        "zh": f"{since}以来无活动，该时段很少连续{limit}小时无动静",
    }


def unheard(since: str) -> Sentence:
    """Say that nobody can tell, since the home's sensors are not heard either."""
    return {
        "en": f"Nothing since {since}, and the home's sensors are not heard either; nobody can tell",
        "zh": f"{since}以来无活动，家中传感器也无信号，情况不明，请前往确认",
    }


def not_returned(left: str, length: str, days: int) -> Sentence:
    """Say that somebody who went out has not come back."""
    usual = {"en": "longer than ever in two months", "zh": "超过近两个月最长外出时间"}
    return {
        "en": f"Went out at {left} and has not returned for {length} h"
        + (f", {usual['en']}" if days else ""),
        "zh": f"{left}外出，已{length}小时未归" + (f"，{usual['zh']}" if days else ""),
    }


def wandering(left: str) -> Sentence:
    """Say that somebody went out at night and did not come back."""
    return {
        "en": f"Front door used at {left} in the night, and no sign at home since",
        "zh": f"夜间{left}开过入户门，此后家中无活动",
    }


def not_up(since: str, up: str | None) -> Sentence:
    """Say that somebody is still in bed."""
    if up is None:
        return {"en": f"In bed since {since}", "zh": f"{since}起一直卧床"}
    return {"en": f"Usually up by {up}; in bed since {since}", "zh": f"通常{up}前起床，{since}起一直卧床"}


def trips(count: int, usual: float) -> Sentence:
    """Say that somebody went to the bathroom more often than usual in a night."""
    return {
        "en": f"To the bathroom {count} times this night; usually {usual:.1f} times",
        "zh": f"今夜如厕{count}次，平时平均{usual:.1f}次",
    }


KINDS = {
    "motion": ("motion sensor", "人体传感器"),
    "presence": ("presence sensor", "存在传感器"),
    "door": ("door sensor", "门磁"),
    "bed": ("bed sensor", "床垫传感器"),
    "chair": ("chair sensor", "座椅传感器"),
    "appliance": ("appliance's sensor", "电器传感器"),
    "water_use": ("water sensor", "用水传感器"),
}
"""How a sensor is called, in English and in Chinese."""


def day(at: datetime, zone: tzinfo) -> str:
    """Return the day and time by the home's clock."""
    return at.astimezone(zone).strftime("%m-%d %H:%M")


def sensor_silent(kind: str, since: str) -> Sentence:
    """Say that one sensor is at fault: the others of the home speak."""
    english, chinese = KINDS.get(kind, ("sensor", "传感器"))
    return {
        "en": f"A {english} has said nothing since {since} while others have; look at the sensor",
        "zh": f"{chinese}自{since}起无信号，而其他传感器正常，请检查设备",
    }


def beside(sentence: Sentence, silent: Sequence[str]) -> Sentence:
    """Add to what a person is missed by which sensors are at fault, for they may be why."""
    if not silent:
        return sentence
    english = ", ".join(sorted({KINDS.get(kind, ("sensor", ""))[0] for kind in silent}))
    chinese = "、".join(sorted({KINDS.get(kind, ("", "传感器"))[1] for kind in silent}))
    return {
        "en": f"{sentence['en']} (at fault: {english})",
        "zh": f"{sentence['zh']}（故障：{chinese}）",
    }
