"""What the routes work with, built in `__main__` and passed in."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi import Depends, Request

from api.access import Identity
from api.escalation.channels import AppriseSender, Sender
from api.escalation.push import Pusher
from api.limits import Failures, Rates
from api.live import Hub
from api.oidc import Provider
from api.passwords import Passwords
from api.seal import Seal
from vigil.clock import Clock
from vigil.pki import Authority
from vigil.store.pool import Connection, Pool


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs the boxes' certificates, and which broker (`host:port`) these open.

    Attributes:
        frames: What boxes seal frames as evidence to; None where the platform takes none.
    """

    authority: Authority
    broker: str
    frames: X25519PrivateKey | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a request may need.

    Attributes:
        pool: Connections for people's requests, in the rights of `ProcessRole.PEOPLE`.
        hub: The live stream.
        passwords: Hashing, slow on purpose.
        clock: Present time.
        roster_key: Signs the roster for the watchdog; None where none is set.
        link_key: Signs the links in notices; without one no link is good.
        sender: The ways to people, for codes that verify a contact.
        issuer: Signs the boxes' certificates; None where the platform has no authority.
        seal: Seals second factors and sign-ins under way; None where the platform has no secret.
        provider: Who vouches for people besides the platform's own accounts; None where nobody does.
        pusher: The way out to browsers; None where Web Push is not set up.
        failures: Who has failed to sign in lately.
        rates: Who has asked how often lately.
    """

    pool: Pool
    hub: Hub
    passwords: Passwords
    clock: Clock
    roster_key: Ed25519PrivateKey | None = None
    link_key: bytes | None = None
    sender: Sender = field(default_factory=AppriseSender)
    issuer: Issuer | None = None
    seal: Seal | None = None
    provider: Provider | None = None
    pusher: Pusher | None = None
    failures: Failures = field(default_factory=Failures)
    rates: Rates = field(default_factory=Rates)

    def scoped(self, identity: Identity) -> AbstractAsyncContextManager[Connection]:
        """Borrow a connection for somebody: one transaction that sees what is theirs to see.

        Raises:
            Unavailable: The database does not answer.
        """
        return self.pool.scoped(identity.scope, identity.actor)


def services_of(request: Request) -> Services:
    """Return the services of the application that answers a request."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services_of)]
