"""The vault of this process: opened with the file of master keys that the settings name.

Neighbours: `vigil.sealing` seals with it; `api.__main__` and `api.commands` entrust it to their pools.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vigil.errors import Misconfigured, Rejected
from vigil.sealing import Vault, read_master

if TYPE_CHECKING:
    from vigil.settings import ApiSettings


def open_vault(settings: ApiSettings) -> Vault:
    """Open the vault; without a file it writes in clear.

    Raises:
        Misconfigured: The file cannot be read, or holds no key.
    """
    if settings.master_key_file is None:
        return Vault()
    try:
        return Vault(read_master(settings.master_key_file))
    except (OSError, Rejected) as error:
        raise Misconfigured("VIGIL_MASTER_KEY_FILE", str(error)) from None
