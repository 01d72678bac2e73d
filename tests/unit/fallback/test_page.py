from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from fallback.page import Page
from fallback.state import Mode
from fallback.watchdog import Watchdog
from fallback.web import Signer, serving
from tests.unit.fallback.conftest import T0, FakeClock
from vigil.errors import Stop
from vigil.topics import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fallback.store import Store


@pytest.fixture
def watchdog(store: Store) -> Watchdog:
    return Watchdog(store, {"e1": [Address("c1", "e1", "canary-e1")]}, [], lambda: "0000abcd", UTC, T0)


@pytest.fixture
def browser(store: Store, watchdog: Watchdog, clock: FakeClock) -> Iterator[httpx.Client]:
    page = Page(watchdog, store, clock, UTC, SecretStr("open sesame"), Signer(b"key"))
    transport = httpx.WSGITransport(page.app())
    with httpx.Client(transport=transport, base_url="http://page") as client:
        yield client


def sign_in(browser: httpx.Client, words: str = "open sesame") -> httpx.Response:
    return browser.post("/login", data={"person": "李娜", "passphrase": words})


def token(browser: httpx.Client) -> str:
    found = re.search(r'name="token" value="([0-9a-f]+)"', browser.get("/declare/e1").text)
    assert found
    return found[1]


def test_nobody_sees_the_page_without_signing_in(browser: httpx.Client) -> None:
    answer = browser.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_a_wrong_passphrase_is_refused(browser: httpx.Client) -> None:
    assert sign_in(browser, "guess").status_code == 422
    assert browser.get("/").status_code == 303


def test_a_forged_cookie_signs_nobody_in(browser: httpx.Client) -> None:
    browser.cookies.set("vigil_fallback", "5p2O5aic." + "0" * 64)
    assert browser.get("/").status_code == 303


def test_who_has_signed_in_sees_the_verdict(browser: httpx.Client) -> None:
    sign_in(browser)
    text = browser.get("/").text
    assert "正常" in text
    assert "李娜" in text


def test_a_person_declares_and_the_log_names_them(browser: httpx.Client, watchdog: Watchdog) -> None:
    sign_in(browser)
    form = {"token": token(browser), "estate": "e1", "reason": "机房进水"}
    assert browser.post("/declare", data=form).status_code == 303
    verdict = watchdog.view().estates[0].verdict
    assert (verdict.mode, verdict.by, verdict.reason) == (Mode.FALLBACK, "person:李娜", "机房进水")
    assert "person:李娜" in browser.get("/").text


def test_a_form_from_elsewhere_changes_nothing(browser: httpx.Client, watchdog: Watchdog) -> None:
    sign_in(browser)
    form = {"token": "0" * 64, "estate": "e1", "reason": "x"}
    assert browser.post("/declare", data=form).status_code == 422
    assert watchdog.view().mode is Mode.NORMAL


def test_what_is_not_done_is_said(browser: httpx.Client) -> None:
    sign_in(browser)
    answer = browser.post("/close", data={"token": token(browser), "estate": "e1"})
    assert answer.status_code == 422
    assert "only a recovery is closed" in answer.text


def test_an_unknown_page_is_not_found(browser: httpx.Client) -> None:
    sign_in(browser)
    assert browser.get("/nothing").status_code == 404


def test_words_of_people_are_shown_as_words(browser: httpx.Client) -> None:
    sign_in(browser)
    browser.post(
        "/declare", data={"token": token(browser), "estate": "e1", "reason": "<script>alert(1)</script>"}
    )
    assert "<script>" not in browser.get("/").text


def test_machines_read_the_verdict_without_names(browser: httpx.Client) -> None:
    body = browser.get("/verdict.json").json()
    assert (body["mode"], body["estates"]["e1"]["mode"]) == ("normal", "normal")


def test_the_page_is_served_from_a_real_socket_and_a_taken_port_is_one_line(
    store: Store, watchdog: Watchdog, clock: FakeClock
) -> None:
    app = Page(watchdog, store, clock, UTC, None, Signer(b"key")).app()
    with serving("127.0.0.1", 0, app) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/style.css").status_code == 200
        with pytest.raises(Stop, match=f"VIGIL_FALLBACK_PORT {port}"), serving("127.0.0.1", port, app):
            pass


def test_the_page_on_which_one_writes_does_not_reload(browser: httpx.Client) -> None:
    sign_in(browser)
    assert 'http-equiv="refresh"' in browser.get("/").text
    assert 'http-equiv="refresh"' not in browser.get("/declare/e1").text
    assert browser.get("/declare/e9").status_code == 404
