"""`python -m api`: the duty console, the API and the live stream; commands for its accounts.

Without arguments it serves.  `python -m api account add`, `python -m api token create` and so
on are in `api.commands`.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog

from api import commands
from api.app import create_app
from api.cases import Watch
from api.delivery import Delivery
from api.effect import MEASURE_EVERY_S, look_at_day
from api.escalation.channels import AppriseSender, Mailbox, Routes
from api.escalation.push import Pusher
from api.escalation.webpush import Sender, read_key
from api.escalation.worker import Escalator
from api.gauges import EVERY_S, Looking, look_at_community
from api.limits import Rate, Rates
from api.live import Hub
from api.oidc import CALLBACK, Provider, read_roles
from api.outbound import Outbound, read_networks
from api.passwords import Passwords
from api.seal import Seal
from api.server import listening_socket, serve_until_cancelled
from api.services import Issuer, Services
from api.vault import open_vault
from vigil import evidence, pki
from vigil.audit.writer import Writer
from vigil.clock import utc_now
from vigil.errors import Misconfigured, Rejected, Stop
from vigil.progress import Work
from vigil.roster import read_private_key
from vigil.runtime import run_until_stopped
from vigil.settings import ApiSettings, load
from vigil.store.pool import ProcessRole, open_pool
from vigil.store.retention import Trimmer
from vigil.store.sealed import Sweep
from vigil.telemetry import configure_logging, ops_server

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


async def serve(settings: ApiSettings) -> None:
    """Serve until told to stop."""
    async with AsyncExitStack() as stack:
        socket = stack.enter_context(listening_socket(settings.api_host, settings.api_port))
        dsn = settings.database_dsn
        vault = open_vault(settings)
        pool = await stack.enter_async_context(open_pool(dsn, "api", 8, role=ProcessRole.PEOPLE, vault=vault))
        live = await stack.enter_async_context(
            open_pool(dsn, "api-live", 1, role=ProcessRole.API, vault=vault)
        )
        care = await stack.enter_async_context(open_pool(dsn, "api-retention", 1, role=ProcessRole.API))
        planning = await stack.enter_async_context(
            open_pool(dsn, "api-escalation", 6, role=ProcessRole.API, vault=vault)
        )
        hub = Hub(settings.database_dsn, live, utc_now)
        link_key = _link_key(settings)
        routes = Routes(Mailbox(settings.api_mailbox), AppriseSender())
        resident_url = settings.api_resident_url.get_secret_value() if settings.api_resident_url else None
        pusher = _pusher(settings)
        escalator = Escalator(
            planning, routes, utc_now, link_key, _address(settings), resident_url=resident_url, pusher=pusher
        )
        services = Services(
            pool=pool,
            hub=hub,
            passwords=Passwords(),
            clock=utc_now,
            roster_key=_roster_key(settings),
            link_key=link_key,
            sender=routes,
            issuer=_issuer(settings),
            seal=Seal(link_key) if settings.api_secret else None,
            provider=_provider(settings),
            rates=Rates(Rate(settings.api_address_a_second), Rate(settings.api_account_a_second)),
            pusher=pusher,
        )
        checks = {"live": lambda: hub.trouble}
        progress = {"live": lambda: Work(hub.position or 0)}
        stack.enter_context(ops_server(settings.ops_host, settings.ops_port, checks, progress))
        log = structlog.get_logger()
        if not vault.seals:
            log.warning("people's data are kept in clear", set="VIGIL_MASTER_KEY_FILE")
        log.info("api is up", address=_address(settings))
        await AppriseSender.prepare()
        await run_until_stopped(
            hub.run(),
            escalator.run(settings.database_dsn),
            Looking(planning, utc_now, MEASURE_EVERY_S, look_at_day).run(),
            Looking(planning, utc_now, EVERY_S, look_at_community).run(),
            Delivery(planning, utc_now, _outbound(settings).post).run(),
            Trimmer(care, utc_now).run(),
            Sweep(planning).run(),
            Watch(planning, utc_now).run(),
            Writer(planning, utc_now, _roster_key(settings)).run(),
            serve_until_cancelled(create_app(services), socket, hub.close),
        )


def _address(settings: ApiSettings) -> str:
    return (settings.api_url or f"http://{settings.api_host}:{settings.api_port}").rstrip("/")


def _link_key(settings: ApiSettings) -> bytes:
    """Return the key that signs the links in notices; a made-up one ends with the process."""
    if settings.api_secret is None:
        return secrets.token_bytes(32)
    return settings.api_secret.get_secret_value().encode()


def _outbound(settings: ApiSettings) -> Outbound:
    """Read which networks of the site's own webhooks may reach.

    Raises:
        Misconfigured: One is no network.
    """
    try:
        return Outbound(read_networks(settings.api_webhook_networks))
    except ValueError as error:
        raise Misconfigured("VIGIL_API_WEBHOOK_NETWORKS", str(error)) from None


def _roster_key(settings: ApiSettings) -> Ed25519PrivateKey | None:
    """Read the key that signs the roster.

    Raises:
        Misconfigured: The file cannot be read, or holds no key.
    """
    if settings.api_roster_key is None:
        return None
    try:
        return read_private_key(settings.api_roster_key)
    except (OSError, Rejected) as error:
        raise Misconfigured("VIGIL_API_ROSTER_KEY", str(error)) from None


def _issuer(settings: ApiSettings) -> Issuer | None:
    """Read the authority that signs the boxes' certificates.

    Raises:
        Misconfigured: Its files cannot be read, or the boxes' broker is not named.
    """
    if settings.api_device_ca is None:
        return None
    if not settings.api_broker:
        raise Misconfigured("VIGIL_API_BROKER", "is missing: boxes have to be told where their broker is")
    try:
        certificate, key = ((settings.api_device_ca / name).read_bytes() for name in ("ca.pem", "ca.key"))
        sealed_to = settings.api_device_ca / "frames.key"
        frames = evidence.read_key(sealed_to.read_bytes()) if sealed_to.exists() else None
        return Issuer(pki.read_authority(certificate, key), settings.api_broker, frames)
    except (OSError, Rejected) as error:
        raise Misconfigured("VIGIL_API_DEVICE_CA", str(error)) from None


def _pusher(settings: ApiSettings) -> Pusher | None:
    """Read the key that Web Push is sent with.

    Raises:
        Misconfigured: The file cannot be read, or holds no key.
    """
    if settings.api_push_key is None:
        return None
    try:
        key = read_key(settings.api_push_key.read_bytes())
    except (OSError, Rejected) as error:
        raise Misconfigured("VIGIL_API_PUSH_KEY", str(error)) from None
    own = frozenset(filter(None, (one.strip().rstrip("/") for one in settings.api_push_services.split(","))))
    return Pusher(Sender(key, settings.api_push_contact or _address(settings)), own)


def _provider(settings: ApiSettings) -> Provider | None:
    """Read which identity provider vouches for people.

    Raises:
        Misconfigured: Something of it is missing, or maps to no role.
    """
    if not settings.api_oidc_issuer:
        return None
    for variable in ("api_secret", "api_url", "api_oidc_client_id"):
        if not getattr(settings, variable):
            raise Misconfigured(f"VIGIL_{variable.upper()}", "is missing: VIGIL_API_OIDC_ISSUER needs it")
    try:
        roles = read_roles(settings.api_oidc_roles)
    except ValueError as error:
        raise Misconfigured("VIGIL_API_OIDC_ROLES", str(error)) from None
    secret = settings.api_oidc_client_secret
    return Provider(
        issuer=settings.api_oidc_issuer,
        client_id=settings.api_oidc_client_id,
        client_secret=secret.get_secret_value() if secret else None,
        redirect_uri=_address(settings) + CALLBACK,
        account_claim=settings.api_oidc_account_claim,
        role_claim=settings.api_oidc_role_claim,
        roles=roles,
    )


def main() -> int:
    """Run the process or a command; an error that ends it is one line."""
    try:
        settings = load(ApiSettings)
        configure_logging("api", settings.log_format, settings.log_level)
        if len(sys.argv) > 1:
            return asyncio.run(commands.run(sys.argv[1:], settings, utc_now))
        asyncio.run(serve(settings))
    except Stop as error:
        print(f"api: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
