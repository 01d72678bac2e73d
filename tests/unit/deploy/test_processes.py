"""One list of processes: units, Kubernetes, compose, images and Prometheus' targets all agree with it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from deploy.compose.__main__ import Site, hashed
from deploy.processes import kubernetes
from deploy.processes.__main__ import files
from deploy.processes.table import MIGRATE, PROCESSES, Place, Process, Server, known, named
from tests.making import NOW
from vigil.errors import Stop
from vigil.topics import KAFKA_TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[3]
DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]
OURS: Final = [p for p in (*PROCESSES, MIGRATE) if p.place is not Place.BOX]
NETWORK: Final = {Server.MQTT: "bus", Server.KAFKA: "bus", Server.DATABASE: "data", Server.API: "people"}
IMAGES: Final = {
    "platform": {"ingest", "processors", "api"},
    "fallback": {"fallback"},
    "edge": {"camera", "wearables"},
}
"""Targets of the Dockerfile, and the extras that each installs."""


def manifests() -> Iterator[dict[str, Any]]:
    """Every manifest that is in the repository."""
    for path in sorted((DEPLOY / "kubernetes").rglob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def workloads() -> dict[str, dict[str, Any]]:
    """Our own containers in Kubernetes, with what their pods say."""
    found = {}
    for manifest in manifests():
        if manifest["kind"] in ("Deployment", "StatefulSet", "Job"):
            pod = manifest["spec"]["template"]["spec"]
            found[pod["containers"][0]["name"]] = {
                "kind": manifest["kind"],
                "pod": pod,
                **pod["containers"][0],
            }
    return found


def environment(service: dict[str, Any]) -> dict[str, str]:
    """A compose service's environment."""
    return dict(service.get("environment", {}))


# --- The table ---


def test_every_room_that_can_be_started_is_in_the_table() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__main__.py")}
    assert rooms <= {process.module.partition(" ")[0] for process in PROCESSES}


@pytest.mark.parametrize("process", [*PROCESSES, MIGRATE], ids=lambda process: process.name)
def test_a_process_is_a_module_that_is_there_and_understands_what_it_is_given(process: Process) -> None:
    module = process.module.partition(" ")[0]
    assert importlib.util.find_spec(f"{module}.__main__") is not None
    assert {*process.environment, *process.secrets, *process.files} <= known(process)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert process.extra in ("", *extras)


def test_no_two_processes_share_a_port() -> None:
    ports = [port for process in PROCESSES for port in (process.ops_port, process.port) if port]
    assert len(set(ports)) == len(ports)


@pytest.mark.parametrize(("path", "content"), [*files()], ids=lambda part: getattr(part, "name", ""))
def test_what_is_made_of_the_table_is_what_is_in_the_repository(path: Path, content: str) -> None:
    assert path.read_text() == content, "python -m deploy.processes"


def test_the_box_s_unit_starts_what_the_table_says() -> None:
    unit = (DEPLOY / "systemd/vigil-edge.service").read_text()
    edge = named("edge")
    assert f"-m {edge.module}\n" in unit
    assert set(re.findall(r"^Environment=(VIGIL_\w+)=", unit, re.MULTILINE)) <= known(edge)
    assert f"MemoryMax={edge.memory_mb}M" in unit


# --- Compose ---


def test_compose_is_understood_by_the_specification_s_own_types() -> None:
    compose_spec = pytest.importorskip("compose_spec")
    # As compose itself reads it: anchors put in place, defaults in place of what the environment lacks.
    merged = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", yaml.safe_dump(COMPOSE))
    assert set(compose_spec.PyCompose.from_yaml(merged).service_names()) == set(SERVICES)


@pytest.mark.parametrize("process", OURS, ids=lambda process: process.name)
def test_compose_runs_a_process_as_the_table_says(process: Process) -> None:
    service = SERVICES[process.name]
    env = environment(service)
    assert service["command"] == process.module.split()
    assert {name for name in env if name.startswith("VIGIL_")} <= known(process) | {"VIGIL_MQTT_HOST", "VIGIL_MQTT_PORT",
                                                                                  "VIGIL_MQTT_PROTOCOL", "VIGIL_KAFKA_BOOTSTRAP"}  # fmt: skip
    assert env.get("VIGIL_OPS_PORT", "0") == str(process.ops_port)
    assert process.environment.items() <= env.items()
    assert f"./compose/site/secrets/{process.login}:/run/secrets:ro" in service["volumes"]
    limits = service["deploy"]["resources"]["limits"]
    assert (float(limits["cpus"]), limits["memory"]) == (process.cpus, f"{process.memory_mb}M")


@pytest.mark.parametrize("process", OURS, ids=lambda process: process.name)
def test_a_process_is_on_the_networks_of_its_servers_and_on_no_other_s(process: Process) -> None:
    networks = set(SERVICES[process.name]["networks"])
    wanted = {NETWORK[server] for server in process.speaks_to}
    assert wanted <= networks
    assert not (networks - wanted) & {"bus", "data"}, "it could reach a server that it has no business with"


def test_servers_and_the_log_cannot_be_reached_from_outside_the_host() -> None:
    assert all(COMPOSE["networks"][name]["internal"] for name in ("bus", "data", "ops"))
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "mosquitto": ["8883:8883"],
        "api": ["127.0.0.1:8000:8000"],
        "fallback": ["8090:8090"],
        "prometheus": ["127.0.0.1:3000:3000", "127.0.0.1:9090:9090"],
    }


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_runs_as_root_with_capabilities_or_on_a_writable_root(name: str) -> None:
    service = SERVICES[name]
    assert int(service["user"].partition(":")[0]) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert re.search(r":[\w.]*\d", service["image"]), "an image without a version is another one tomorrow"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_every_service_says_whether_it_is_well_and_has_a_limit(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert {"cpus", "memory"} <= set(SERVICES[name]["deploy"]["resources"]["limits"])


def test_no_secret_stands_in_the_environment_or_on_a_command_line() -> None:
    secret = {name for process in PROCESSES for name in process.secrets}
    for service in SERVICES.values():
        assert not secret & set(environment(service))
        assert not re.search(r"(?i)password=|token=", str(service.get("command")))


def test_prometheus_asks_every_process_on_its_port() -> None:
    asked = {
        target
        for path in (DEPLOY / "compose/targets").iterdir()
        for entry in yaml.safe_load(path.read_text())
        for target in entry["targets"]
    }
    assert asked == {f"{p.name}:{p.ops_port}" for p in PROCESSES if p.place is not Place.BOX}
    scraped = set(re.findall(r"targets/([a-z]+)\.yml", (DEPLOY / "prometheus/prometheus.yml").read_text()))
    assert {path.stem for path in (DEPLOY / "compose/targets").iterdir()} == scraped


@pytest.mark.parametrize("name", SERVICES)
def test_what_compose_mounts_of_the_repository_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.partition(":")[0]
        if source.startswith("./") and "/site/" not in source and not source.endswith("/site"):
            assert (DEPLOY / source).exists(), source


# --- Images ---


def test_each_image_installs_what_its_processes_need() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for target, extras in IMAGES.items():
        stage = text.partition(f"AS {target}\n")[2].partition("\nFROM ")[0]
        assert f'"vigil[{",".join(sorted(extras, key=stage.index))}]"' in stage
        assert "USER 10001:10001" in stage
    for process in PROCESSES:
        if process.extra:
            assert any(process.extra in extras for extras in IMAGES.values()), process.name
    built = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
    assert built <= {*IMAGES, "backup"}


# --- Kubernetes ---


def test_manifests_of_kubernetes_own_kinds_are_valid_to_the_last_field() -> None:
    checker = pytest.importorskip("kubernetes_validate")
    checked = set()
    for manifest in manifests():
        group = manifest["apiVersion"].partition("/")[0]
        if "." not in group or (group.endswith(".k8s.io") and not group.startswith("kustomize")):
            checker.validate(manifest, "1.32", strict=True)
            checked.add(manifest["kind"])
    assert {
        "Deployment",
        "StatefulSet",
        "Job",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
    } <= checked


def test_kustomize_puts_it_together(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not here; the manifests are checked one by one above")
    for folder in ("kubernetes", "kubernetes/watchdog"):
        command = ["kubectl", "kustomize", str(DEPLOY / folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        made = list(yaml.safe_load_all(done.stdout))
        configured = {m["metadata"]["name"] for m in made if m["kind"] == "ConfigMap"}
        text = done.stdout
        assert all(name in text.replace(f"name: {name}\n  namespace", "") for name in configured), (
            "a map nobody reads"
        )


@pytest.mark.parametrize("process", [*kubernetes.inside(), named("fallback"), MIGRATE], ids=lambda p: p.name)
def test_kubernetes_runs_a_process_as_the_table_says(process: Process) -> None:
    found = workloads()[process.name]
    assert found["args"] == process.module.split()
    assert {variable["name"] for variable in found["env"]} <= known(process)
    assert found["resources"]["limits"]["memory"] == f"{process.memory_mb}Mi"
    secret = next(volume["secret"] for volume in found["pod"]["volumes"] if "secret" in volume)
    assert secret["secretName"] == f"vigil-{process.login}"
    assert {item["key"] for item in secret["items"]} == {name.lower() for name in process.secrets}
    if process.ops_port:
        assert found["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert {"name": "ops", "containerPort": process.ops_port} in found["ports"]


@pytest.mark.parametrize("name", sorted(workloads()))
def test_no_pod_runs_as_root_or_asks_the_cluster_for_anything(name: str) -> None:
    found = workloads()[name]
    assert found["pod"]["securityContext"]["runAsNonRoot"] is True
    assert found["pod"]["automountServiceAccountToken"] is False
    assert found["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("process", kubernetes.inside(), ids=lambda process: process.name)
def test_every_process_in_the_cluster_keeps_one_member_grows_and_reaches_its_servers_only(
    process: Process,
) -> None:
    by_kind = {m["kind"]: m["spec"] for m in manifests() if m.get("metadata", {}).get("name") == process.name}
    assert by_kind["PodDisruptionBudget"]["maxUnavailable"] == 1
    assert by_kind["Deployment"]["replicas"] == process.members >= 2
    grows = by_kind.get("ScaledObject") or by_kind["HorizontalPodAutoscaler"]
    assert (grows.get("maxReplicaCount") or grows["maxReplicas"]) == process.most <= kubernetes.PARTITIONS
    ports = {
        rule["ports"][0]["port"]
        for rule in by_kind["NetworkPolicy"]["egress"]
        if "podSelector" in rule["to"][0]
    }
    assert ports == {kubernetes.WHERE[server][1] for server in process.speaks_to}


def test_every_topic_is_there_with_two_copies_more_and_for_as_long_as_a_backup() -> None:
    found = {m["metadata"]["name"]: m["spec"] for m in manifests() if m["kind"] == "KafkaTopic"}
    assert set(found) == set(KAFKA_TOPICS)
    for spec in found.values():
        assert (spec["replicas"], spec["config"]["min.insync.replicas"]) == (3, 2)
        assert spec["config"]["retention.ms"] == 14 * 24 * 3600 * 1000


# --- A site ---


def test_a_site_is_made_once_and_stays_as_it_is(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.make("c1", ["vigil.lan", "10.0.0.5"], NOW)
    before = {path: path.read_bytes() for path in (tmp_path / "secrets").rglob("*") if path.is_file()}
    site.make("c1", ["vigil.lan"], NOW)
    assert before == {path: path.read_bytes() for path in before}
    assert "vigil/v1/c1/" in (tmp_path / "mosquitto/acl").read_text()


def test_what_is_secret_is_for_one_pair_of_eyes(tmp_path: Path) -> None:
    Site(tmp_path).make("c1", ["vigil.lan"], NOW)
    for path in (p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_community_that_is_no_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="is no id"):
        Site(tmp_path).make("a/b", ["vigil.lan"], NOW)


def test_passwords_are_kept_in_mosquitto_s_own_form() -> None:
    line = hashed("ingest", "secret", b"123456789012")
    user, _, kept = line.partition(":")
    _, kind, rounds, salt, key = kept.split("$")
    assert (user, kind, rounds, salt) == ("ingest", "7", "101", "MTIzNDU2Nzg5MDEy")
    assert len(key) == 88


def test_the_images_version_is_the_package_s() -> None:
    assert importlib.metadata.version("vigil") == kubernetes.VERSION
    assert all(
        s["image"].endswith(f":{kubernetes.VERSION}")
        for s in SERVICES.values()
        if s["image"].startswith("vigil/")
    )
