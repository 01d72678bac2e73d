"""An identity provider as a process of its own: OpenID Connect, code flow, PKCE required.

`python -m tests.servers.oidc PORT`.  Whoever is sent to `/authorize` is signed in at once as the
person that `PUT /person` has named last; `claims` there go over what a token would hold, so that
a test has tokens that lie.  It holds clients to the protocol: codes are good once, for the client
and the address that asked, and for whoever has the verifier.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from vigil.clock import utc_now

CLIENT, SECRET = "vigil", "the client's secret"
KEY = ECKey.generate_key("P-256", {"kid": "1", "use": "sig", "alg": "ES256"})
STRANGE = ECKey.generate_key("P-256", {"kid": "1", "use": "sig", "alg": "ES256"})


class Provider(ThreadingHTTPServer):
    """What it remembers: the next person, and the codes it has given."""

    issuer: str
    person: dict[str, Any]
    codes: dict[str, dict[str, str]]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Provider

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        match parts.path:
            case "/.well-known/openid-configuration":
                self._json(self._discovery())
            case "/jwks":
                self._json(KeySet([KEY]).as_dict(private=False))
            case "/authorize":
                self._authorize({name: values[0] for name, values in parse_qs(parts.query).items()})
            case _:
                self.send_error(HTTPStatus.NOT_FOUND)

    def do_PUT(self) -> None:
        self.server.person = json.loads(self._body())
        self._json({})

    def do_POST(self) -> None:
        form = {name: values[0] for name, values in parse_qs(self._body()).items()}
        asked = self.server.codes.pop(form.get("code", ""), None)
        kept = base64.b64encode(
            f"{CLIENT}:{urlencode({'': SECRET})[1:].replace('+', '%20')}".encode()
        ).decode()
        good = (
            asked is not None
            and self.headers.get("Authorization") == f"Basic {kept}"
            and form.get("redirect_uri") == asked["redirect_uri"]
            and create_s256_code_challenge(form.get("code_verifier", "")) == asked["code_challenge"]
        )
        if not good or asked is None:
            self._json({"error": "invalid_grant"}, HTTPStatus.BAD_REQUEST)
            return
        self._json({"access_token": "a", "token_type": "Bearer", "id_token": self._token(asked["nonce"])})

    def _authorize(self, asked: dict[str, str]) -> None:
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT
        code = secrets.token_urlsafe()
        self.server.codes[code] = asked
        self.send_response(HTTPStatus.SEE_OTHER)
        back = urlencode({"code": code, "state": asked["state"], "iss": self.server.issuer})
        self.send_header("Location", f"{asked['redirect_uri']}?{back}")
        self.end_headers()

    def _token(self, nonce: str) -> str:
        person = dict(self.server.person)
        now, strange = int(person.pop("now", utc_now().timestamp())), person.pop("strange_key", False)
        claims = {"iss": self.server.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce}
        return jwt.encode({"alg": "ES256", "kid": "1"}, claims | person, STRANGE if strange else KEY)

    def _discovery(self) -> dict[str, Any]:
        issuer = self.server.issuer
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/jwks",
            "code_challenge_methods_supported": ["S256"],
        }

    def _body(self) -> str:
        return self.rfile.read(int(self.headers["Content-Length"])).decode()

    def _json(self, what: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    provider = Provider(("127.0.0.1", int(sys.argv[1])), Handler)
    provider.issuer, provider.person, provider.codes = f"http://127.0.0.1:{sys.argv[1]}", {}, {}
    provider.serve_forever()
