"""The authority's files and commands."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from deploy.pki.__main__ import main
from vigil import pki

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def run(folder: Path, *arguments: str) -> int:
    return main(["--folder", str(folder), *arguments], NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert run(tmp_path / "pki", "init", "c1") == 0
    return tmp_path / "pki"


def test_keys_are_for_their_owner_alone(folder: Path) -> None:
    run(folder, "server", "broker.example")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {
        "ca.key": 0o600,
        "server.key": 0o600,
        "ca.pem": 0o644,
        "server.pem": 0o644,
        "crl.pem": 0o644,
    }


def test_a_second_authority_does_not_take_the_first_one_s_place(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "ca.pem").read_bytes()
    assert run(folder, "init", "c1") == 1
    assert "holds an authority already" in capsys.readouterr().err
    assert (folder / "ca.pem").read_bytes() == before


def test_a_box_is_signed_and_revoked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "n1.csr").write_bytes(pki.request(pki.new_key(), "n1"))
    assert run(folder, "sign", "n1", str(tmp_path / "n1.csr")) == 0
    certificate = capsys.readouterr().out.encode()
    (tmp_path / "n1.pem").write_bytes(certificate)
    assert run(folder, "revoke", str(tmp_path / "n1.pem")) == 0
    assert run(folder, "crl") == 0
    listed = x509.load_pem_x509_crl((folder / "crl.pem").read_bytes())
    assert [entry.serial_number for entry in listed] == [pki.read_certificate(certificate).serial_number]


@pytest.mark.parametrize("command", [["server", "h"], ["crl"]])
def test_without_an_authority_the_remedy_is_named(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, *command) == 1
    assert "make an authority with `init` first" in capsys.readouterr().err
