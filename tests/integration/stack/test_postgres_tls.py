"""PostgreSQL over TLS, by what stands in the address alone: who comes in clear or trusts another stays outside."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from deploy.pki.__main__ import Folder
from tests.conftest import lacking
from tests.integration.stack.conftest import NOW
from tests.servers import postgres
from tests.servers.postgres import DebianPostgres
from vigil.errors import Unavailable
from vigil.settings import DatabaseSettings
from vigil.store.pool import open_pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.trust]


class TlsPostgres(DebianPostgres):
    """A server that lets nobody in but over TLS, as docs/howto/transport.md says."""

    def __init__(self, folder: Path, authority: Folder) -> None:
        super().__init__(folder)
        self._authority = authority

    def _prepare(self) -> Sequence[str]:
        command = super()._prepare()
        owner = self._data.stat()
        for name in ("server.pem", "server.key"):
            shutil.copy(self._authority.path / name, self._data / name)
            (self._data / name).chmod(0o600)
            os.chown(self._data / name, owner.st_uid, owner.st_gid)
        rules = self._data / "pg_hba.conf"
        rules.write_text("local all all scram-sha-256\nhostssl all all all scram-sha-256\n", encoding="ascii")
        return [*command, "-c", "ssl=on", "-c", "ssl_cert_file=server.pem", "-c", "ssl_key_file=server.key"]

    def _is_ready(self) -> bool:
        """Its log says so; the port's usual question is asked in clear, and refused."""
        return self._child is not None and b"ready to accept connections" in self._child.output()


@pytest.fixture(scope="module")
def server(authority: Folder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsPostgres]:
    if reason := postgres.missing():
        lacking(reason)
    made = TlsPostgres(tmp_path_factory.mktemp("postgres"), authority)
    made.start()
    yield made
    made.stop()


async def cipher(dsn: str) -> str:
    """Connect as every process does, and say what protects the connection."""
    settings = DatabaseSettings(database_dsn=SecretStr(dsn))
    async with (
        open_pool(settings.database_dsn, "tls", 1, timeout_s=3) as pool,
        pool.connection() as connection,
    ):
        cursor = await connection.execute(
            "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl"
        )
        ((version,),) = await cursor.fetchall()
    return str(version)


@pytest.mark.asyncio
async def test_the_address_alone_asks_for_tls_and_for_the_servers_name(
    server: TlsPostgres, authority: Folder
) -> None:
    checked = f"{server.dsn}?sslmode=verify-full&sslrootcert={authority.path / 'ca.pem'}"
    assert await cipher(checked) in ("TLSv1.2", "TLSv1.3")


@pytest.mark.asyncio
async def test_who_comes_in_clear_or_trusts_another_authority_stays_outside(
    server: TlsPostgres, tmp_path: Path
) -> None:
    other = Folder(tmp_path)
    other.init("c2", NOW)
    with pytest.raises(Unavailable):
        await cipher(f"{server.dsn}?sslmode=disable")
    with pytest.raises(Unavailable):
        await cipher(f"{server.dsn}?sslmode=verify-full&sslrootcert={other.path / 'ca.pem'}")
