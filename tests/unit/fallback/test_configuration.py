from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from fallback import configuration
from vigil.errors import Misconfigured
from vigil.settings import FallbackSettings
from vigil.topics import Address


def settings(**changed: Any) -> FallbackSettings:
    return FallbackSettings(fallback_state=Path("state"), **changed)


def test_canary_nodes_are_grouped_by_estate() -> None:
    read = configuration.canaries(settings(fallback_canaries="c1/e1/a, c1/e1/b,c1/e2/c"))
    assert read == {
        "e1": [Address("c1", "e1", "a"), Address("c1", "e1", "b")],
        "e2": [Address("c1", "e2", "c")],
    }


@pytest.mark.parametrize("entry", ["e1/a", "c1/e1/+", "c1/e1/a/b"])
def test_a_canary_that_is_no_node_is_named(entry: str) -> None:
    with pytest.raises(Misconfigured, match="VIGIL_FALLBACK_CANARIES"):
        configuration.canaries(settings(fallback_canaries=entry))


def test_processes_may_share_a_service() -> None:
    read = configuration.processes(settings(fallback_probes="api=http://a/readyz,api=http://b/readyz"))
    assert [(each.service, each.url) for each in read] == [
        ("api", "http://a/readyz"),
        ("api", "http://b/readyz"),
    ]


@pytest.mark.parametrize("entry", ["api", "=http://a", "api=ftp://a", "a=http://a,b=http://a"])
def test_a_probe_that_is_none_is_named(entry: str) -> None:
    with pytest.raises(Misconfigured, match="VIGIL_FALLBACK_PROBES"):
        configuration.processes(settings(fallback_probes=entry))


def test_a_time_zone_that_is_none_is_named() -> None:
    with pytest.raises(Misconfigured, match="VIGIL_FALLBACK_ZONE"):
        configuration.zone(settings(fallback_zone="Mars/Olympus"))


def test_a_page_for_others_wants_a_passphrase() -> None:
    with pytest.raises(Misconfigured, match="VIGIL_FALLBACK_PASSPHRASE"):
        configuration.check_page(settings(fallback_host="0.0.0.0"))
    configuration.check_page(settings(fallback_host="0.0.0.0", fallback_passphrase=SecretStr("x")))
    configuration.check_page(settings())
