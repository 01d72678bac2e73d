"""Where the platform itself may post to: an address that somebody typed must not lead it into its own house.

Neighbour: `api.delivery` posts webhooks through it.  The name is looked up once, every answer is checked,
and the connection goes to that very answer, so that a name cannot mean something else a moment later.
Networks of the site's own are named by its operators (`VIGIL_API_WEBHOOK_NETWORKS`), never by whoever sets a
webhook up.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import httpx

from vigil.errors import Unavailable

Network = IPv4Network | IPv6Network
POST_S: Final = 5.0


def read_networks(text: str) -> tuple[Network, ...]:
    """Read networks, comma separated.

    Raises:
        ValueError: One is no network.
    """
    return tuple(ip_network(one.strip()) for one in text.split(",") if one.strip())


def allowed(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address is of the open Internet, or of a network that the site has named."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    named = any(found.version == one.version and found in one for one in networks)
    return named or (found.is_global and not found.is_multicast)


@dataclass(frozen=True, slots=True)
class Outbound:
    """The way out.

    Attributes:
        networks: Of the site's own, that may be reached as well.
    """

    networks: tuple[Network, ...] = ()

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """Post over HTTP and return the status; redirects are not followed, since they could lead anywhere.

        Raises:
            Unavailable: No answer, or the address is not to be reached from here.
        """
        try:
            asked = httpx.URL(url)
            address = await self._looked_up(asked)
            pinned = asked.copy_with(host=address)
            request = httpx.Request(
                "POST",
                pinned,
                content=body,
                headers={**headers, "Host": asked.netloc.decode()},
                extensions={"sni_hostname": asked.host},
            )
            async with httpx.AsyncClient(timeout=POST_S, trust_env=False) as client:
                return (await client.send(request)).status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise Unavailable("a webhook", type(error).__name__) from None

    async def _looked_up(self, url: httpx.URL) -> str:
        port = url.port or (443 if url.scheme == "https" else 80)
        async with asyncio.timeout(POST_S):
            found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        addresses = [str(one[4][0]) for one in found]
        if not addresses or not all(allowed(one, self.networks) for one in addresses):
            raise Unavailable(
                "a webhook", "its address is within the site; VIGIL_API_WEBHOOK_NETWORKS names those"
            )
        return addresses[0]
