"""What is made up at the first start is kept, and nobody else reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.embedded.seed import kept_roster_key, kept_secrets
from vigil.roster import read_private_key, write_public_key

if TYPE_CHECKING:
    from pathlib import Path


def test_secrets_are_made_up_once_and_all_different(tmp_path: Path) -> None:
    made = kept_secrets(tmp_path)
    assert kept_secrets(tmp_path) == made
    assert len({made.password, made.token, made.roster_token}) == 3


def test_the_rosters_key_is_made_up_once_and_its_halves_belong_together(tmp_path: Path) -> None:
    made = kept_roster_key(tmp_path)
    assert kept_roster_key(tmp_path) == made
    assert write_public_key(read_private_key(made.file).public_key()) == made.public


def test_only_its_owner_reads_what_was_made_up(tmp_path: Path) -> None:
    kept_secrets(tmp_path)
    kept_roster_key(tmp_path)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
