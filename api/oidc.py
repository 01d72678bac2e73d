"""People whom an identity provider vouches for: OpenID Connect, code flow with PKCE.

Neighbours: `api.console.sign_in` has the two pages, `api.seal` keeps what is under way in a cookie
of the browser that began it; `vigil.store.sign_in` knows which account a subject is.

Rules
-----
1. The provider says who somebody is, and by `roles` what for; the platform's account says where:
   its estates are the community manager's to give.  Whom no account is meant for stays out.
2. A subject is linked with the account of its name once, and only with one that has no password;
   from then on the subject alone counts, whatever the provider calls it.
3. The token must be the configured issuer's, for us, signed by a key that it publishes, in time,
   and carry the nonce that this browser was given.  Anything else is refused alike.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import httpx
import msgspec
import structlog
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from api.access import Role
from api.problems import Denied
from vigil.errors import Rejected, Unavailable
from vigil.store import accounts, sign_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from api.seal import Seal
    from vigil.store.pool import Connection

CALLBACK: Final = "/oidc/callback"
LASTS_S: Final = 600
"""To sign in at the provider, with its second factor."""
LEEWAY_S: Final = 60
"""That the provider's clock may be off."""
ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""With published keys only: neither `none` nor a shared secret."""
_TIMEOUT_S: Final = 5.0
_PURPOSE: Final = "oidc"
_SCOPE: Final = "openid profile"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider, and what its claims mean here.

    Attributes:
        issuer: Its address, as its tokens name it.
        client_id: Ours there.
        client_secret: Ours there; None for a public client, which PKCE protects alone.
        redirect_uri: Where it sends browsers back: the console's address and `CALLBACK`.
        account_claim: Names the account at the first sign-in.
        role_claim: Holds a name or a list of names.
        roles: Such a name -> role; empty leaves each account its role.
    """

    issuer: str
    client_id: str
    client_secret: str | None
    redirect_uri: str
    account_claim: str = "preferred_username"
    role_claim: str = "groups"
    roles: Mapping[str, Role] = field(default_factory=dict)

    @property
    def secure(self) -> bool:
        """Whether browsers reach us by HTTPS."""
        return self.redirect_uri.startswith("https:")


class Pending(msgspec.Struct, frozen=True):
    """A sign-in under way: what only the browser that began it can bring back."""

    state: str
    nonce: str
    verifier: str
    until: float


class _Metadata(msgspec.Struct, frozen=True):
    """What we need of a provider's discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


async def start(provider: Provider, seal: Seal, now: datetime) -> tuple[str, bytes]:
    """Return where to send the browser, and what it has to bring back, sealed.

    Raises:
        Unavailable: The provider does not answer, or not as one.
    """
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    made = Pending(state, nonce, verifier, now.timestamp() + LASTS_S)
    async with _client() as client:
        metadata = await _metadata(provider, client)
    url: str = prepare_grant_uri(
        metadata.authorization_endpoint,
        provider.client_id,
        "code",
        provider.redirect_uri,
        _SCOPE,
        state,
        nonce=nonce,
        code_challenge=create_s256_code_challenge(verifier),
        code_challenge_method="S256",
    )
    return url, seal.close(msgspec.json.encode(made), _PURPOSE)


async def finish(
    provider: Provider, seal: Seal, sealed: bytes, answer: Mapping[str, str], now: datetime
) -> dict[str, Any]:
    """Exchange what a browser came back with for the claims of a token that holds.

    Raises:
        Denied: 401, whatever it was; the log says what.
        Unavailable: The provider does not answer.
    """
    pending = _pending(seal, sealed, answer, now)
    if answer.get("iss", provider.issuer) != provider.issuer or "code" not in answer:
        raise _refused(f"no code of {provider.issuer}: {answer.get('error', 'another issuer')}")
    async with _client() as client:
        metadata = await _metadata(provider, client)
        try:
            got = await _exchange(provider, client, metadata, answer["code"], pending.verifier)
            keys = KeySet.import_key_set((await _get(client, metadata.jwks_uri)).json())
            token = jwt.decode(got["id_token"], keys, algorithms=ALGORITHMS)
        except (httpx.HTTPStatusError, JoseError, KeyError, ValueError, TypeError) as error:
            raise _refused(f"{type(error).__name__}: {error}") from error
        except httpx.HTTPError as error:
            raise Unavailable("the identity provider", error) from error
    return check_claims(token.claims, provider, pending.nonce, now)


def check_claims(claims: dict[str, Any], provider: Provider, nonce: str, now: datetime) -> dict[str, Any]:
    """Check a token's claims (OpenID Connect Core 3.1.3.7) and return them.

    Raises:
        Denied: 401.
    """
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    expires, issued, at = claims.get("exp"), claims.get("iat"), now.timestamp()
    wrong = {
        "iss": claims.get("iss") != provider.issuer,
        "aud": provider.client_id not in audiences,
        "azp": claims.get("azp", provider.client_id) != provider.client_id,
        "azp, which several audiences need": len(audiences) > 1 and "azp" not in claims,
        "nonce": not secrets.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()),
        "exp": not isinstance(expires, int | float) or expires + LEEWAY_S <= at,
        "iat": not isinstance(issued, int | float) or issued - LEEWAY_S > at,
        "sub": not isinstance(claims.get("sub"), str) or not claims["sub"],
    }
    if any(wrong.values()):
        raise _refused(f"the token's {', '.join(name for name, bad in wrong.items() if bad)}")
    return claims


async def account_for(
    connection: Connection, provider: Provider, claims: dict[str, Any], now: datetime
) -> accounts.Account:
    """Return the account that a token's subject is, with the role that the provider gives it (rules 1 and 2).

    Raises:
        Denied: 403: nobody here is meant, or not any more.
    """
    subject, named = claims["sub"], claims.get(provider.account_claim)
    known = await sign_in.account_of(connection, provider.issuer, subject)
    if (
        known is None
        and isinstance(named, str)
        and await sign_in.link(connection, provider.issuer, subject, named, now)
    ):
        known = named
    role = mapped_role(provider, claims)
    if known is None or (provider.roles and role is None):
        detail = "Nobody here is meant by this account; ask your community manager for one."
        raise Denied(HTTPStatus.FORBIDDEN, "unknown_account", detail)
    if role is not None:
        await sign_in.take_role(connection, known, role)
    found = await accounts.find_account(connection, known)
    if found is None or found.disabled_at is not None:
        raise Denied(HTTPStatus.FORBIDDEN, "unknown_account", "This account is not good any more.")
    return found


def mapped_role(provider: Provider, claims: dict[str, Any]) -> Role | None:
    """Return the role of the first mapping, in the order they are written, that a token's names fit."""
    claim = claims.get(provider.role_claim)
    names = set(claim) if isinstance(claim, list) else {claim}
    return next((role for name, role in provider.roles.items() if name in names), None)


def read_roles(text: str) -> dict[str, Role]:
    """Read `name=role,name=role`.

    Raises:
        ValueError: Something is no such pair, or no role of people.
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    return {name.strip(): Role(role.strip()) for name, _, role in pairs}


def _pending(seal: Seal, sealed: bytes, answer: Mapping[str, str], now: datetime) -> Pending:
    try:
        pending = msgspec.json.decode(seal.open(sealed, _PURPOSE), type=Pending)
    except (Rejected, msgspec.MsgspecError):
        raise _refused("another browser, or a cookie that is gone") from None
    if not secrets.compare_digest(pending.state.encode(), answer.get("state", "").encode()):
        raise _refused("the state is not this browser's")
    if pending.until <= now.timestamp():
        raise _refused("it took too long")
    return pending


def _refused(why: str) -> Denied:
    _log.warning("sign-in by the provider refused", why=why)
    return Denied(HTTPStatus.UNAUTHORIZED, "oidc", "Signing in did not work; try again.")


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        timeout=_TIMEOUT_S, follow_redirects=False, headers={"Accept": "application/json"}
    )


async def _exchange(
    provider: Provider, client: httpx.AsyncClient, metadata: _Metadata, code: str, verifier: str
) -> dict[str, Any]:
    """Exchange a code (RFC 6749 4.1.3, RFC 7636 4.5); we show our secret where we have one (2.3.1)."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": provider.redirect_uri,
        "code_verifier": verifier,
    }
    secret = provider.client_secret
    auth = (
        httpx.USE_CLIENT_DEFAULT
        if secret is None
        else httpx.BasicAuth(quote(provider.client_id, ""), quote(secret, ""))
    )
    if secret is None:
        form["client_id"] = provider.client_id
    response = await client.post(metadata.token_endpoint, data=form, auth=auth)
    answered: dict[str, Any] = response.raise_for_status().json()
    return answered


async def _metadata(provider: Provider, client: httpx.AsyncClient) -> _Metadata:
    address = provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
    try:
        found = msgspec.json.decode((await _get(client, address)).content, type=_Metadata)
    except (httpx.HTTPError, msgspec.MsgspecError) as error:
        raise Unavailable("the identity provider", error) from error
    addresses = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
    if found.issuer != provider.issuer or not all(map(_is_safe, addresses)):
        raise Unavailable("the identity provider", ValueError("another issuer, or an address without TLS"))
    return found


async def _get(client: httpx.AsyncClient, address: str) -> httpx.Response:
    response: httpx.Response = await client.get(address)
    return response.raise_for_status()


def _is_safe(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
