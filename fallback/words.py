"""Sentences of the watchdog, in Chinese and English.  Pure.

Used by `watchdog` for notices and by `page`.  People read these under stress: what is
wrong, since when, what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from fallback.state import Mode

if TYPE_CHECKING:
    from datetime import tzinfo

    from fallback.state import Cause, Verdict


class Both(NamedTuple):
    """One sentence in both languages."""

    zh: str
    en: str


MODES: Final = {
    Mode.NORMAL: Both("正常", "Normal"),
    Mode.DEGRADED: Both("降级", "Degraded"),
    Mode.FALLBACK: Both("人工接管", "Fallback: people take over"),
    Mode.RECOVERING: Both("恢复中", "Recovering"),
}
PASSED: Final = {
    "published": Both("发布", "published"),
    "stored": Both("入库", "stored"),
    "alerted": Both("到台", "alerted"),
    "acknowledged": Both("确认", "acknowledged"),
}
STAGES: Final = {
    "published": Both("消息服务器（MQTT）未确认", "the MQTT broker does not confirm"),
    "stored": Both("入库未完成", "the event is not stored"),
    "alerted": Both("告警未到达值班台", "no alert reaches the console"),
    "acknowledged": Both("平台不接受确认操作", "the platform does not take the acknowledgement"),
    "slow": Both("全程可达但过慢", "the way is open but too slow"),
}
CAUSES: Final = {
    "canary": Both("探测告警连续超时：{subject_zh}", "canaries do not come back: {subject_en}"),
    "canary_flapping": Both("探测告警半数超时：{subject_zh}", "every second canary is late: {subject_en}"),
    "canary_late": Both("一次探测告警超时：{subject_zh}", "one canary is late: {subject_en}"),
    "receipt": Both("告警可达，但入库回执未返回", "alerts come through, receipts do not"),
    "service": Both("服务 {subject} 不工作：{detail}", "service {subject} does not work: {detail}"),
    "unanswered": Both("紧急告警无人应答：{detail}", "critical alerts that nobody answers: {detail}"),
    "beat": Both("进程没有心跳：{detail}", "no heartbeat of {detail}"),
    "consoles": Both("没有值班台在线：{detail}", "no console is connected {detail}"),
    "clock": Both("平台时钟偏差 {detail}", "the platform's clock is off by {detail}"),
    "tls": Both("证书将到期：{detail}", "a certificate ends: {detail}"),
    "disk": Both("本机磁盘将满：{detail}", "the disk is nearly full: {detail}"),
    "node": Both(
        "边缘盒 {subject} 失联，部分老人无保护", "edge box {subject} is lost; residents are unprotected"
    ),
    "roster": Both("老人名单过旧：{detail}", "the roster is old: {detail}"),
    "audit": Both("平台的操作记录被改动：{detail}", "somebody has touched the platform's record: {detail}"),
    "pack": Both("资料包未写成：{detail}", "the pack could not be written: {detail}"),
    "printer": Both("资料包未能打印：{detail}", "the pack could not be printed: {detail}"),
    "peer": Both("另一看门狗：{detail}", "the other watchdog: {detail}"),
    "notify": Both("通知渠道失败：{detail}", "notices are not taken: {detail}"),
    "monitoring": Both("监控停止：{detail}", "monitoring stands: {detail}"),
    "heartbeat": Both("对外心跳失败：{detail}", "the outgoing heartbeat fails: {detail}"),
    "declared": Both("{subject} 手动宣布：{detail}", "declared by {subject}: {detail}"),
}


def cause(cause_: Cause) -> Both:
    """Return what is wrong, in one sentence."""
    pattern = CAUSES.get(cause_.code, Both("{code} {subject} {detail}", "{code} {subject} {detail}"))
    stage = STAGES.get(cause_.subject, Both(cause_.subject, cause_.subject))
    facts = {
        "code": cause_.code,
        "subject": cause_.subject.removeprefix("person:"),
        "detail": cause_.detail,
        "subject_zh": stage.zh,
        "subject_en": stage.en,
    }
    return Both(pattern.zh.format(**facts), pattern.en.format(**facts))


RESULTS: Final = {
    "well": Both("良好", "well"),
    "helped": Both("已帮助", "helped"),
    "hospital": Both("送医", "hospital"),
    "away": Both("外出", "away"),
    "no_answer": Both("无人应答", "no answer"),
    "no_access": Both("进不去", "no access"),
}
METHODS: Final = {
    "phone": Both("电话", "phone"),
    "door": Both("上门", "door"),
    "family": Both("家属", "family"),
    "key": Both("钥匙", "key"),
}
MATCHES: Final = {
    "matched": Both("一致", "matched"),
    "paper_only": Both("仅纸面", "paper only"),
    "event_only": Both("仅事件", "event only"),
    "conflict": Both("矛盾", "conflict"),
}


DRILL: Final = "【演练 DRILL】"
NO_DRILL: Final = "【不是演练 THIS IS NO DRILL】"


def notice(
    estate: str, verdict: Verdict, zone: tzinfo, *, residents: int = 0, high: int = 0, earnest: bool = False
) -> Both:
    """Return a notice's title and body: the title holds what must be read from a lock screen.

    Args:
        estate: Which one.
        verdict: On it.
        zone: For the times.
        residents: How many flagged residents are unprotected by it; names are never sent.
        high: How many of them are at high risk.
        earnest: It was an exercise until now.
    """
    mode = MODES[verdict.mode]
    mark = DRILL if verdict.drill else NO_DRILL if earnest else ""
    title = f"{mark}{estate}：{mode.zh} / {mode.en}"
    since = f"{verdict.since.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    lines = [f"自 {since} 起 / since {since}"]
    for item in verdict.causes:
        both = cause(item)
        lines.append(f"· {both.zh} / {both.en}")
    if verdict.mode is Mode.FALLBACK and residents:
        lines.append(
            f"无保护老人 {residents} 人，高风险 {high} 人 / {residents} unprotected, {high} at high risk"
        )
    if verdict.mode is Mode.FALLBACK:
        lines.append("请按接管程序行动：打开接管页或纸质资料包，先查高风险老人。")
        lines.append("Act by the procedure: open the fallback page or the printed pack, high risk first.")
    return Both(title, "\n".join(lines))
