"""An authority of its own for each file of tests that speak TLS."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from deploy.pki.__main__ import Folder

NOW = datetime.now(UTC)  # noqa: TID251 - certificates are checked by OpenSSL and Java, which have no other clock


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("pki"))
    folder.init("c1", NOW)
    folder.server(["127.0.0.1", "localhost"], NOW)
    return folder
