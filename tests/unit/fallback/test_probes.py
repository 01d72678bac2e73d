from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from deploy.embedded.servers import free_port
from fallback import probes
from tests.unit.fallback.conftest import T0
from vigil.errors import Unavailable
from vigil.progress import Work

if TYPE_CHECKING:
    from pathlib import Path

ENDS = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)


def answers(request: httpx.Request) -> httpx.Response:
    match request.url.host:
        case "well":
            progress = {"alarm": {"done": 7, "waiting": 2, "oldest_s": 0.5}}
            body = {"ready": True, "checks": {"mqtt": "ok"}, "progress": progress}
            return httpx.Response(200, json=body)
        case "unwell":
            return httpx.Response(503, json={"ready": False, "checks": {"mqtt": "ok", "kafka": "no broker"}})
        case "strange":
            return httpx.Response(500, text="oops")
    raise httpx.ConnectError("refused")


async def looked(*urls: str) -> list[probes.Looked]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answers)) as client:
        return await probes.look(client, list(urls), T0)


@pytest.mark.asyncio
async def test_each_look_says_what_was_wrong() -> None:
    urls = [f"http://{host}/readyz" for host in ("well", "unwell", "strange", "away")]
    found = await looked(*urls)
    assert [each.wrong for each in found] == [None, "kafka: no broker", "HTTP 500", "ConnectError"]
    assert [each.url for each in found] == urls
    assert [each.answers for each in found] == [True, True, True, False]


@pytest.mark.asyncio
async def test_a_look_brings_how_far_the_process_has_come() -> None:
    (found,) = await looked("http://well/readyz")
    assert found.progress == {"alarm": Work(7, 2, 0.5)}


@pytest.mark.asyncio
async def test_a_servers_port_is_tried_without_its_protocol() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        there, away = await looked(f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{free_port()}")
    assert there.wrong is None
    assert away.wrong is not None


@pytest.mark.asyncio
async def test_it_is_read_when_a_certificate_ends_also_of_an_authority_we_do_not_know(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await probes.expires("127.0.0.1", port) == ENDS


@pytest.mark.asyncio
async def test_a_server_without_a_certificate_says_so() -> None:
    with pytest.raises(Unavailable, match="certificate"):
        await probes.expires("127.0.0.1", free_port())


def test_free_space_is_known_also_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert probes.free_mb(tmp_path / "packs" / "e1") > 0


def certificate(folder: Path) -> Path:
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]),
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(ENDS)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path
