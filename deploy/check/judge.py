"""What was found, in plain words, with the remedy; pure.

Neighbour: `look` asks.  Each function takes what was seen and returns findings; a server that did not
answer is `absent`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vigil.topics import KAFKA_TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

KEEP_MS: Final = 14 * 24 * 3600 * 1000
"""A restored database reads on from its place in the log (decision 0041)."""
CLOCKS_S: Final = 1.0
"""Clocks that differ by more make ages wrong that people are told; NTP holds milliseconds."""
ENDS_SOON_DAYS: Final = 21
PAPERS_S: Final = 900.0
"""Papers are written every 5 minutes; three times missed."""
STALE_LOG_S: Final = 60.0
STALE_BASE_S: Final = 26 * 3600.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        good: Nothing has to be done.
        says: What was found, in plain words.
        remedy: What helps, where something is wrong.
    """

    good: bool
    says: str
    remedy: str = ""


def absent(what: str, why: object, remedy: str) -> Finding:
    """Say that something does not answer."""
    return Finding(good=False, says=f"{what} does not answer: {why}", remedy=remedy)


def strangers(anonymous_code: int | None) -> Finding:
    """Judge what the broker answered to somebody without a name.

    Args:
        anonymous_code: Its answer, 0 for welcome; None if it did not answer.
    """
    if anonymous_code == 0:
        return Finding(
            good=False,
            says="the broker lets anybody in",
            remedy="deploy/mosquitto/mosquitto.conf has `allow_anonymous false`; does the broker read it?",
        )
    return Finding(good=True, says="the broker refuses who has no name")


def access(*, came_back: bool) -> Finding:
    """Judge whether a message on a topic that nobody may write came back."""
    if came_back:
        return Finding(
            good=False,
            says="the broker's access list is not in force: a topic that nobody may write was written",
            remedy="make `acl` from deploy/mosquitto/acl.template for this community, name it in acl_file, reload",
        )
    return Finding(good=True, says="the broker's access list is in force")


def boxes_door(*, without_certificate: bool, ends: datetime, now: datetime) -> Iterator[Finding]:
    """Judge the boxes' TLS listener.

    Args:
        without_certificate: Somebody without one came in.
        ends: When the broker's own certificate ends.
        now: Present time.
    """
    yield Finding(
        good=not without_certificate,
        says="the boxes' listener lets in who has no certificate"
        if without_certificate
        else "the boxes' listener wants a certificate",
        remedy="deploy/mosquitto/boxes.conf has `require_certificate true`" if without_certificate else "",
    )
    days = (ends - now).total_seconds() / 86_400
    yield Finding(
        good=days > ENDS_SOON_DAYS,
        says=f"the broker's certificate ends in {days:.0f} days",
        remedy="" if days > ENDS_SOON_DAYS else "python -m deploy.pki server HOST..., then reload the broker",
    )


def topics(found: Mapping[str, Sequence[int]], replicas: int) -> Iterator[Finding]:
    """Judge the log's topics.

    Args:
        found: Topic -> how many brokers have each of its partitions at present.
        replicas: How many there ought to be.
    """
    if missing := [topic for topic in KAFKA_TOPICS if topic not in found]:
        yield Finding(
            good=False,
            says=f"Kafka lacks {', '.join(missing)}",
            remedy="ingest makes them when it starts: start it",
        )
    thin = sorted(topic for topic, copies in found.items() if min(copies, default=0) < replicas)
    if thin:
        yield Finding(
            good=False,
            says=f"fewer than {replicas} brokers have {', '.join(thin)}",
            remedy="bring the brokers back, or make the topics with more replicas (deploy/kubernetes/topics.yaml)",
        )
    if not missing and not thin:
        yield Finding(good=True, says=f"Kafka has all {len(KAFKA_TOPICS)} topics, {replicas} broker(s) each")


def retention(kept_ms: Mapping[str, int]) -> Finding:
    """Judge how long the log keeps events; -1 is for ever.

    Args:
        kept_ms: Topic -> `retention.ms`; empty where the broker cannot be asked.
    """
    short = sorted(topic for topic, kept in kept_ms.items() if 0 <= kept < KEEP_MS)
    if short:
        return Finding(
            good=False,
            says=f"Kafka keeps {', '.join(short)} for less than 14 days",
            remedy="kafka-configs.sh --alter --entity-type topics --add-config retention.ms=1209600000, for each",
        )
    return Finding(
        good=True, says="Kafka keeps events for 14 days" if kept_ms else "Kafka does not say what it keeps"
    )


def clocks(what: str, theirs: datetime, before: datetime, after: datetime) -> Finding:
    """Judge a server's clock by ours, read before and after it was asked."""
    off = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    return Finding(
        good=off <= CLOCKS_S,
        says=f"the clock of {what} is {off:.1f} s off ours"
        if off > CLOCKS_S
        else f"the clock of {what} agrees with ours",
        remedy="run chrony (or another NTP client) on both hosts" if off > CLOCKS_S else "",
    )


def own_clock(*, synchronised: bool) -> Finding:
    """Judge what this host's kernel says of its clock."""
    return Finding(
        good=synchronised,
        says="this host's clock is " + ("synchronised" if synchronised else "not synchronised"),
        remedy="" if synchronised else "apt install chrony",
    )


def ready(name: str, body: Mapping[str, Any]) -> Finding:
    """Judge what a process says of itself."""
    if body.get("ready"):
        return Finding(good=True, says=f"{name} is ready")
    wrong = "; ".join(f"{check}: {said}" for check, said in body.get("checks", {}).items() if said != "ok")
    return Finding(good=False, says=f"{name} is not ready: {wrong}", remedy="what it names; then its log")


def samples(text: str, metric: str) -> dict[str, float]:
    """Return the samples of a metric by their labels, from Prometheus' text."""
    found = re.findall(rf"^{metric}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def canaries(before: str, after: str, waited_s: float) -> Finding:
    """Judge from the watchdog's metrics at two moments whether canaries come through.

    Args:
        before: What it served first.
        after: What it serves now.
        waited_s: How long lies between.
    """
    name = "vigil_canary_total"
    first, last = samples(before, name), samples(after, name)
    came = sum(value - first.get(labels, 0) for labels, value in last.items() if 'judgement="good"' in labels)
    if came > 0:
        return Finding(good=True, says=f"{came:.0f} canaries came the whole way within {waited_s:.0f} s")
    return Finding(
        good=False,
        says=f"no canary came the whole way within {waited_s:.0f} s",
        remedy="the watchdog's page names the stage; are VIGIL_FALLBACK_CANARIES and _TOKEN set (docs/howto/fallback.md)?",
    )


def modes(text: str) -> Finding:
    """Judge the watchdog's verdict on each estate."""
    bad = [
        labels
        for labels, value in samples(text, "vigil_fallback_mode").items()
        if value == 1 and 'mode="normal"' not in labels
    ]
    if bad:
        return Finding(
            good=False, says=f"the watchdog says: {'; '.join(sorted(bad))}", remedy="its page says why"
        )
    return Finding(good=True, says="the watchdog finds every estate normal")


def papers(text: str, now: datetime) -> Finding:
    """Judge the age of the papers that people go on with."""
    made = samples(text, "vigil_fallback_pack_timestamp_seconds")
    old = sorted(labels for labels, at in made.items() if now.timestamp() - at > PAPERS_S)
    if old or not made:
        return Finding(
            good=False,
            says=f"papers are older than {PAPERS_S / 60:.0f} minutes: {', '.join(old)}"
            if old
            else "there are no papers",
            remedy="VIGIL_FALLBACK_PACKS names two folders that can be written; the roster's token and key are set?",
        )
    return Finding(good=True, says="papers for a fallback are fresh")


def backups(text: str, now: datetime) -> Iterator[Finding]:
    """Judge the stream of the database's log and the newest base backup."""
    for metric, limit_s, what, remedy in (
        (
            "vigil_backup_wal_timestamp_seconds",
            STALE_LOG_S,
            "the database's log was streamed",
            "vigil-wal's log",
        ),
        (
            "vigil_backup_base_timestamp_seconds",
            STALE_BASE_S,
            "a base backup was begun",
            "python -m deploy.backup base",
        ),
    ):
        at = max(samples(text, metric).values(), default=0.0)
        age = now.timestamp() - at
        good = age <= limit_s
        yield Finding(
            good,
            f"{what} {age:.0f} s ago" if at else f"never: {what}",
            "" if good else f"{remedy} (docs/howto/backup.md)",
        )


def told(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield the lines that a person reads."""
    for finding in findings:
        yield f"{'ok ' if finding.good else 'BAD'} {finding.says}"
        if finding.remedy:
            yield f"    -> {finding.remedy}"
