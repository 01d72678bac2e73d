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


@pytest.mark.parametrize("url", ["ftp://a", "tcp://broker", "http://", "tcp://broker:port"])
def test_a_probe_that_cannot_be_tried_is_named(url: str) -> None:
    with pytest.raises(Misconfigured, match="VIGIL_FALLBACK_PROBES"):
        configuration.processes(settings(fallback_probes=f"mqtt={url}"))


def test_a_servers_port_may_be_probed() -> None:
    (process,) = configuration.processes(settings(fallback_probes="mqtt=tcp://broker:1883"))
    assert (process.service, process.url) == ("mqtt", "tcp://broker:1883")


def test_the_certificates_of_whatever_is_reached_over_tls_are_looked_at() -> None:
    found = configuration.certificates(
        settings(
            fallback_api="https://api",
            fallback_peer="https://other:8443/",
            fallback_probes="ingest=http://ingest/readyz",
            mqtt_host="broker",
            mqtt_port=8883,
            mqtt_ca=Path("ca.pem"),
        )
    )
    assert found == [("api", 443), ("broker", 8883), ("other", 8443)]
