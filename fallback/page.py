"""The watchdog's own page: the verdict, why, since when, and what people do about it.

Place in the flow: reads `watchdog`'s view and hands people's decisions back to it.  It runs
when the platform does not: on the standard library, without scripts, readable on a phone.
Every action carries the name of who took it into the log.
"""

from __future__ import annotations

import hmac
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import jinja2
import msgspec

from fallback import canary, words
from fallback.canary import Judgement, Stage
from fallback.state import Mode, open_gates
from fallback.store import moment_of
from fallback.web import Request, Response, Signer, application, see
from vigil.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime, tzinfo
    from http import HTTPStatus

    from pydantic import SecretStr

    from fallback.standing import Standing
    from fallback.store import Store
    from fallback.watchdog import Watchdog

PUBLIC: Final = frozenset({"/login", "/style.css", "/verdict.json"})
"""Without signing in: what holds no resident's name."""
REFRESH_S: Final = 5
"""How often the page reloads itself."""


class Page:
    """The page.

    Args:
        watchdog: Shown, and told what people decide.
        store: For the log.
        now: The clock.
        zone: For the times that people read.
        passphrase: Lets people in; None asks for a name alone (loopback only).
        signer: Of cookies and forms.
        standing: Returns what the platform said last of itself, or None.
    """

    def __init__(
        self,
        watchdog: Watchdog,
        store: Store,
        now: Callable[[], datetime],
        zone: tzinfo,
        passphrase: SecretStr | None,
        signer: Signer,
        standing: Callable[[], Standing | None] = lambda: None,
    ) -> None:
        self._standing = standing
        self._watchdog = watchdog
        self._store = store
        self._now = now
        self._passphrase = passphrase
        self._signer = signer
        self._zone = zone
        self._templates = templates(zone)

    def app(
        self, more: Mapping[tuple[str, str], Callable[[Request], Response]] | None = None
    ) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
        """Return the WSGI application, with further routes."""
        routes: dict[tuple[str, str], Callable[[Request], Response]] = {
            ("GET", "/"): self.status,
            ("GET", "/login"): self.login_form,
            ("POST", "/login"): self.login,
            ("GET", "/style.css"): self.style,
            ("GET", "/verdict.json"): self.verdict,
            ("GET", "/declare/*"): self.declare_form,
            ("POST", "/declare"): self.declare,
            ("POST", "/recover"): self.recover,
            ("POST", "/close"): self.close,
        }
        return application(routes | dict(more or {}), self._signer, self.wrong, PUBLIC)

    # -- pages ---------------------------------------------------------------------------

    def status(self, request: Request) -> Response:
        """Show every estate's verdict, causes and stages, the processes and the log."""
        view = self._watchdog.view()
        log = self._store.read("SELECT * FROM log ORDER BY id DESC LIMIT 30")
        return self.show(
            "status.html",
            request,
            view=view,
            log=log,
            stages=list(Stage),
            gates={
                estate.id: open_gates(self._watchdog.gates(estate.id), self._now())
                for estate in view.estates
                if estate.verdict.mode is Mode.RECOVERING
            },
            refresh=REFRESH_S,
            late_s=canary.LATE.seconds,
            standing=self._standing(),
        )

    def login_form(self, request: Request) -> Response:
        """Ask who it is."""
        return self.show("login.html", request, asks=self._passphrase is not None)

    def declare_form(self, request: Request) -> Response:
        """Ask for the reason, on a page that does not reload while somebody writes."""
        estate = request.path.rpartition("/")[2]
        self._watchdog.verdict(estate)
        return self.show("declare.html", request, estate=estate, name=self._watchdog.name(estate))

    def style(self, _request: Request) -> Response:
        """Give the style sheet."""
        return Response((files("fallback") / "templates/style.css").read_bytes(), type="text/css")

    def verdict(self, _request: Request) -> Response:
        """Give the verdict to machines: the other instance, and whoever watches the watchdog."""
        view = self._watchdog.view()
        estates = {
            estate.id: {
                "mode": estate.verdict.mode,
                "since": estate.verdict.since.isoformat(),
                "causes": [f"{cause.code}: {cause.subject}" for cause in estate.verdict.causes],
                "drill": estate.verdict.drill,
            }
            for estate in view.estates
        }
        body = {"mode": view.mode, "at": view.at.isoformat(), "estates": estates}
        return Response(msgspec.json.encode(body), type="application/json")

    # -- actions -------------------------------------------------------------------------

    def login(self, request: Request) -> Response:
        """Sign somebody in by name, and by the passphrase where one is set."""
        person = request.field("person")
        if self._passphrase is not None:
            given = request.form.get("passphrase", "").encode()
            if not hmac.compare_digest(given, self._passphrase.get_secret_value().encode()):
                raise Rejected("refused", "this is not the passphrase of the fallback page")
        return see("/", self._signer.cookie(person))

    def declare(self, request: Request) -> Response:
        """Declare a fallback by hand."""
        estate, reason = request.field("estate"), request.field("reason")
        drill = request.form.get("drill") == "yes"
        self._watchdog.declare(estate, _actor(request), reason, self._now(), drill=drill)
        return see("/")

    def recover(self, request: Request) -> Response:
        """Begin a recovery."""
        self._watchdog.begin_recovery(request.field("estate"), _actor(request), self._now())
        return see("/")

    def close(self, request: Request) -> Response:
        """Close a fallback."""
        self._watchdog.close(request.field("estate"), _actor(request), self._now())
        return see("/")

    # -- showing -------------------------------------------------------------------------

    def wrong(self, request: Request, status: HTTPStatus, sentence: str) -> Response:
        """Show what was wrong, with the way back."""
        shown = self.show("wrong.html", request, sentence=sentence)
        return Response(shown.body, status)

    def show(self, template: str, request: Request, **facts: Any) -> Response:
        """Render a template for who has signed in."""
        token = self._signer.token(request.person) if request.person else ""
        html = self._templates.get_template(template).render(
            person=request.person, token=token, now=self._now(), Mode=Mode, Judgement=Judgement, **facts
        )
        return Response(html.encode())


def templates(zone: tzinfo) -> jinja2.Environment:
    """Return the page's templates, with the words and the times that people read."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("fallback"), autoescape=True, undefined=jinja2.StrictUndefined
    )

    def local(moment: datetime | float | None, form: str = "%m-%d %H:%M:%S") -> str:
        """Return a moment in the community's time."""
        if moment is None:
            return "-"
        aware = moment_of(moment) if isinstance(moment, float) else moment
        return aware.astimezone(zone).strftime(form)

    made.filters["local"] = local
    made.globals.update(cause=words.cause, modes=words.MODES, passed=words.PASSED)
    return made


def _actor(request: Request) -> str:
    return f"person:{request.person}"
