from __future__ import annotations

import re
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fallback import configuration, records
from fallback.desk import Desk
from fallback.exercise import Exercise
from fallback.liveness import Process
from fallback.page import Page
from fallback.probes import Looked
from fallback.reconcile import LateAlert
from fallback.rounds import Result
from fallback.senses import Noted
from fallback.snapshot import Keeper
from fallback.state import Mode, begin
from fallback.store import write_log
from fallback.watchdog import Watchdog
from fallback.web import Signer, see
from tests.unit.fallback.conftest import T0, FakeClock, pages
from vigil.roster import Contact, Resident, Roster, sign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fallback.store import Store

KEY = Ed25519PrivateKey.generate()
LIBRARY = configuration.library()
API = Process("api", "http://api/readyz")


def resident(id_: str, name: str, risk: int, phone: str) -> Resident:
    keys = [Contact("物业", "000-9", "钥匙")]
    return Resident(id=id_, estate="e1", name=name, risk=risk, phone=phone, key_holders=keys)


class Desktop:
    """A signed-in browser before the whole page, and what stands behind it."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        keeper = Keeper(store, KEY.public_key())
        people = [resident("r1", "王秀英", 3, "000-1"), resident("r2", "李建国", 1, "000-2")]
        made = Roster(community="c1", made_at=T0, estates={"e1": "北里"}, residents=people, staff=[])
        keeper.accept(msgspec.json.encode(sign(made, KEY)), T0)
        self.store, self.clock = store, clock
        self.watchdog = Watchdog(store, {"e1": []}, [API], lambda: "0" * 8, UTC, T0, lambda: keeper.roster)
        page = Page(self.watchdog, store, clock, UTC, None, Signer(b"key"))
        desk = Desk(self.watchdog, store, keeper, LIBRARY, clock, UTC, page.show)
        exercise = Exercise(self.watchdog, store, LIBRARY, clock, UTC, page.show)
        app = page.app(desk.routes() | exercise.routes())
        self.exercise = exercise
        self.browser = httpx.Client(transport=httpx.WSGITransport(app), base_url="http://page")
        self.sit_down("李娜")

    def sit_down(self, person: str) -> None:
        """Let somebody sign in at this browser."""
        self.browser.cookies.clear()
        self.browser.post("/login", data={"person": person})
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.get("/declare/e1"))
        assert found
        self._token = found[1]

    def get(self, path: str) -> str:
        answer = self.browser.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, path: str, **form: str) -> httpx.Response:
        return self.browser.post(path, data={"token": self._token, "estate": "e1", **form})

    def break_down(self) -> None:
        """Let the only process be missed three times."""
        missed = [Looked(API.url, "ConnectError", self.clock.at, answers=False)] * 3
        self.watchdog.step(self.clock.forward(1), missed)

    def fall_back(self) -> None:
        self.watchdog.declare("e1", "person:li", "机房进水", self.clock.at)
        self.clock.forward(60)
        self.watchdog.step(self.clock.at)

    def seen(self) -> list[tuple[str, Result, str]]:
        checks = records.checks(self.store, "e1", T0 - timedelta(days=1), drill=True)
        return [(each.resident, each.result, each.source) for each in checks]


@pytest.fixture
def desk(store: Store, clock: FakeClock) -> Iterator[Desktop]:
    made = Desktop(store, clock)
    yield made
    made.browser.close()


PAPER = {
    "form": "1024-007",
    "resident": "r1",
    "time": "06:00",
    "result": "well",
    "fell": "no",
    "method": "door",
}


def test_everybody_unprotected_is_on_the_page_with_phone_and_key_holder(desk: Desktop) -> None:
    desk.fall_back()
    text = desk.get("/rounds/e1")
    assert text.index("王秀英") < text.index("李建国")
    assert "tel:000-1" in text
    assert "物业" in text


def test_the_page_says_when_there_are_too_few_people(desk: Desktop) -> None:
    desk.fall_back()
    assert "Ask the street for mutual aid" in desk.get("/rounds/e1")
    desk.post("/join")
    desk.post("/join", name="王强")
    assert "Enough people: 2" in desk.get("/rounds/e1")


def test_dealing_gives_a_helper_their_own_list(desk: Desktop) -> None:
    desk.fall_back()
    assert desk.post("/deal").status_code == 422
    desk.post("/join")
    desk.post("/deal")
    assert "My round (2)" in desk.get("/rounds/e1")


def test_a_helper_who_is_free_is_sent_to_the_most_urgent_and_then_to_the_next(desk: Desktop) -> None:
    desk.fall_back()
    assert desk.post("/next").headers["location"] == "/rounds/e1#r1"
    assert desk.post("/next").headers["location"] == "/rounds/e1#r2"
    assert desk.post("/next").status_code == 422
    assert "My round (2)" in desk.get("/rounds/e1")


def test_who_did_not_answer_the_telephone_goes_back_to_whoever_is_free(desk: Desktop) -> None:
    desk.fall_back()
    desk.post("/next")
    desk.post("/check", resident="r1", method="phone", result="no_answer")
    assert "My round" not in desk.get("/rounds/e1")
    assert desk.post("/next").headers["location"] == "/rounds/e1#r1"


def test_a_tick_takes_a_resident_off_the_list_and_an_attempt_does_not(desk: Desktop) -> None:
    desk.fall_back()
    desk.post("/check", resident="r1", method="phone", result="no_answer")
    assert "待见 To be seen (2)" in desk.get("/rounds/e1")
    desk.post("/check", resident="r1", method="door", result="well", fell="no")
    assert "待见 To be seen (1)" in desk.get("/rounds/e1")
    assert desk.watchdog.gates("e1").unanswered == 1


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"resident": "r9", "method": "door", "result": "well"}, 404),
        ({"resident": "r1", "method": "pigeon", "result": "well"}, 422),
        ({"resident": "r1", "method": "door", "result": "fine"}, 422),
        ({"method": "door", "result": "well"}, 422),
    ],
)
def test_a_check_that_says_nothing_is_refused(desk: Desktop, form: dict[str, str], status: int) -> None:
    desk.fall_back()
    assert desk.post("/check", **form).status_code == status
    assert desk.seen() == []


def test_a_steps_tick_shows_who_did_it(desk: Desktop) -> None:
    desk.fall_back()
    desk.post("/tick", procedure="platform", step="platform-1")
    assert "✓ 李娜 06:01" in desk.get("/rounds/e1")
    assert desk.post("/tick", procedure="platform", step="platform-99").status_code == 404


def test_a_paper_counts_when_two_people_keyed_it_alike(desk: Desktop) -> None:
    desk.fall_back()
    desk.post("/paper", **PAPER)
    assert desk.seen() == []
    assert "keyed once" in desk.get("/reconcile/e1")
    desk.sit_down("王强")
    desk.post("/paper", **PAPER)
    assert "keyed once" not in desk.get("/reconcile/e1")
    assert desk.seen() == [("r1", Result.WELL, "paper")]


def test_a_paper_that_was_keyed_differently_is_refused_and_says_where(desk: Desktop) -> None:
    desk.fall_back()
    desk.post("/paper", **PAPER)
    desk.sit_down("王强")
    answer = desk.post("/paper", **PAPER | {"result": "helped"})
    assert answer.status_code == 422
    assert "result" in answer.text
    assert desk.seen() == []


def test_who_keyed_a_paper_in_is_not_the_one_who_confirms_it(desk: Desktop) -> None:
    desk.fall_back()
    desk.post("/paper", **PAPER)
    answer = desk.post("/paper", **PAPER)
    assert (answer.status_code, desk.seen()) == (422, [])
    assert "somebody else" in answer.text


def test_a_written_time_is_the_latest_that_has_passed(desk: Desktop) -> None:
    desk.fall_back()
    desk.post("/paper", **PAPER | {"time": "23:50"})
    desk.sit_down("王强")
    desk.post("/paper", **PAPER | {"time": "23:50"})
    (check,) = records.checks(desk.store, "e1", T0 - timedelta(days=1), drill=True)
    assert check.at == T0 - timedelta(hours=6, minutes=10)


def test_a_conflict_waits_for_a_person_and_both_sides_are_kept(desk: Desktop) -> None:
    desk.fall_back()
    desk.post("/check", resident="r1", method="door", result="away")
    with desk.store.transaction() as connection:
        records.keep_late(connection, "e1", LateAlert("a1", "r1", "sos", T0 + timedelta(seconds=10)))
    assert desk.watchdog.gates("e1").conflicts == 1
    assert "矛盾 conflict" in desk.get("/reconcile/e1")
    assert desk.post("/decide", key="alert:a1", verdict="event", reason="").status_code == 422
    desk.post("/decide", key="alert:a1", verdict="event", reason="she was in the garden")
    assert desk.watchdog.gates("e1").conflicts == 0
    assert "she was in the garden" in desk.get("/reconcile/e1")
    assert "矛盾 conflict" in desk.get("/reconcile/e1")


def test_the_pack_can_be_printed_from_the_last_roster(desk: Desktop) -> None:
    answer = desk.browser.get("/pack/e1")
    assert (answer.headers["content-type"], answer.content[:5]) == ("application/pdf", b"%PDF-")


def test_what_is_printed_in_a_drill_says_so_until_the_drill_becomes_earnest(
    desk: Desktop, tmp_path: Path
) -> None:
    desk.watchdog.declare("e1", "person:li", "练习", desk.clock.at, drill=True)
    assert "DRILL" in pages(desk.browser.get("/pack/e1").content, tmp_path)[0]
    desk.break_down()
    assert "DRILL" not in pages(desk.browser.get("/pack/e1").content, tmp_path)[0]


def test_without_a_printer_nothing_is_printed_and_the_setting_is_named(desk: Desktop) -> None:
    answer = desk.post("/print")
    assert answer.status_code == 422
    assert "VIGIL_FALLBACK_PRINTER" in answer.text


def test_a_fallback_is_closed_only_when_everybody_was_seen(desk: Desktop) -> None:
    desk.fall_back()
    desk.post("/recover")
    answer = desk.post("/close")
    assert "2 unprotected residents have no welfare result" in answer.text


def test_a_new_fallback_begins_with_an_empty_list_of_helpers(desk: Desktop) -> None:
    desk.post("/join")
    desk.fall_back()
    assert records.helpers(desk.store, "e1") == []


def test_a_drill_is_planned_begun_ended_and_followed_up(desk: Desktop) -> None:
    desk.post("/drills/plan", kind="tabletop", scenario="停电", planned="2026-03-02T06:30")
    desk.post("/drills/begin", drill="1")
    desk.watchdog.step(desk.clock.forward(60))
    assert desk.watchdog.verdict("e1").drill
    desk.post("/check", resident="r1", method="door", result="well", fell="no")
    desk.post("/drills/end", drill="1")
    text = desk.get("/drills")
    assert "✗ 步骤执行 steps followed: 0.0% (≥ 95%)" in text
    assert "Open actions" in text
    assert desk.browser.get("/drill-report/1").content.startswith(b"%PDF-")
    desk.post("/drills/close-action", action="1")
    assert desk.post("/drills/close-action", action="1").status_code == 404


def test_a_fallback_is_closed_only_when_the_canary_has_been_good_for_ten_minutes(desk: Desktop) -> None:
    desk.fall_back()
    for id_ in ("r1", "r2"):
        desk.post("/check", resident=id_, method="door", result="well", fell="no")
    desk.post("/recover")
    answer = desk.post("/close")
    assert "the canary has not been good for 10 minutes" in answer.text
    assert "welfare result" not in answer.text
    assert desk.watchdog.verdict("e1").mode is Mode.RECOVERING


def test_a_component_drill_marks_what_breaks_until_it_ends_by_itself(desk: Desktop) -> None:
    desk.post("/drills/plan", kind="component", scenario="Kafka", planned="2026-03-02T06:00", minutes="10")
    desk.post("/drills/begin", drill="1")
    gone = Noted("roster", "there is none", desk.clock.at)
    desk.watchdog.step(desk.clock.forward(2), [gone])
    assert (desk.watchdog.verdict("e1").mode, desk.watchdog.verdict("e1").drill) == (Mode.DEGRADED, True)
    desk.exercise.end_overdue(desk.clock.forward(597))
    assert "结束并测量" in desk.get("/drills")
    desk.exercise.end_overdue(desk.clock.forward(1))
    desk.watchdog.step(desk.clock.forward(1))
    assert not desk.watchdog.verdict("e1").drill
    text = desk.get("/drills")
    assert "✗ 发现 detected and declared: - (≤ 30 s)" in text
    assert "Open actions" in text


def test_a_component_drill_goes_on_after_the_watchdog_was_restarted(desk: Desktop) -> None:
    desk.post("/drills/plan", kind="component", scenario="Kafka", planned="2026-03-02T06:00")
    desk.post("/drills/begin", drill="1")
    again = Watchdog(desk.store, {"e1": []}, [], lambda: "1" * 8, UTC, desk.clock.at)
    Exercise(again, desk.store, LIBRARY, desk.clock, UTC, lambda *_: see("/"))
    again.step(desk.clock.forward(2), [Noted("roster", "there is none", desk.clock.at)])
    assert again.verdict("e1").drill


def test_a_drill_is_measured_by_what_was_done_in_it_also_when_it_was_closed_before(desk: Desktop) -> None:
    desk.post("/drills/plan", kind="unannounced", scenario="停电", planned="2026-03-02T06:00")
    desk.post("/drills/begin", drill="1")
    desk.watchdog.step(desk.clock.forward(60))
    for id_ in ("r1", "r2"):
        desk.post("/check", resident=id_, method="door", result="well", fell="no")
    desk.watchdog._good_for = timedelta(0)
    desk.post("/recover")
    with desk.store.transaction() as connection:
        write_log(connection, desk.clock.at, "e1", "person:li", "normal", drill=True)
    desk.watchdog._verdicts["e1"] = begin(desk.clock.forward(1))
    desk.post("/drills/end", drill="1")
    text = desk.get("/drills")
    assert "✓ 首次接触 first contact: 60 s" in text
    assert "✓ 按时见到 seen in time: 100.0%" in text


def test_the_report_says_on_paper_which_goals_were_missed(desk: Desktop, tmp_path: Path) -> None:
    desk.post("/drills/plan", kind="tabletop", scenario="停电", planned="2026-03-02T06:30")
    desk.post("/drills/begin", drill="1")
    desk.watchdog.step(desk.clock.forward(60))
    desk.post("/drills/end", drill="1")
    (page,) = pages(desk.browser.get("/drill-report/1").content, tmp_path)
    assert "✓ 发现 detected and declared: 0 s" in page
    assert "× 未达 missed: 按时见到 seen in time: 0.0%" in page


def test_in_a_real_fallback_no_exercise_begins(desk: Desktop) -> None:
    desk.post("/drills/plan", kind="tabletop", scenario="停电", planned="2026-03-02T06:30")
    desk.fall_back()
    assert desk.post("/drills/begin", drill="1").status_code == 422
    assert [row["begun_at"] for row in desk.store.read("SELECT begun_at FROM drill")] == [None]
    assert not desk.watchdog.verdict("e1").drill


def test_what_was_practised_counts_for_nobody_when_an_exercise_turns_into_earnest(desk: Desktop) -> None:
    desk.watchdog.declare("e1", "person:li", "exercise", desk.clock.at, drill=True)
    desk.watchdog.step(desk.clock.forward(2))
    desk.post("/check", resident="r1", method="door", result="well", fell="no")
    assert desk.watchdog.gates("e1").unanswered == 1
    desk.break_down()
    verdict = desk.watchdog.verdict("e1")
    assert (verdict.mode, verdict.drill) == (Mode.FALLBACK, False)
    assert desk.watchdog.gates("e1").unanswered == 2
    titles = [row["title"] for row in desk.store.read("SELECT title FROM notice ORDER BY id")]
    assert titles[0].startswith("【演练 DRILL】")
    assert titles[-1].startswith("【不是演练 THIS IS NO DRILL】")


def test_what_people_do_in_a_drill_carries_its_mark(desk: Desktop) -> None:
    desk.watchdog.declare("e1", "person:li", "exercise", desk.clock.at, drill=True)
    desk.watchdog.step(desk.clock.forward(2))
    desk.post("/check", resident="r1", method="door", result="well")
    assert [row["drill"] for row in desk.store.read("SELECT drill FROM checked")] == [1]
    assert {row["drill"] for row in desk.store.read("SELECT drill FROM log")} == {1}
    assert "演练 DRILL" in desk.get("/rounds/e1")


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/drills/plan", {"kind": "surprise", "scenario": "x", "planned": "2026-03-02T06:30"}, 422),
        ("/drills/plan", {"kind": "tabletop", "scenario": "x", "planned": "soon"}, 422),
        (
            "/drills/plan",
            {"kind": "tabletop", "scenario": "x", "planned": "2026-03-02T06:30", "minutes": "0"},
            422,
        ),
        ("/drills/begin", {"drill": "9"}, 404),
    ],
)
def test_a_drill_that_cannot_be_is_refused(
    desk: Desktop, path: str, form: dict[str, str], status: int
) -> None:
    assert desk.post(path, **form).status_code == status
