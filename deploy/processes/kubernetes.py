"""Kubernetes manifests of Vigil's own processes and topics, made of the table; pure.

Neighbours: `table`; the servers (Strimzi's Kafka, CloudNativePG, mosquitto) stand in
`deploy/kubernetes` as they were written.  Offsets live in PostgreSQL, not in Kafka, so members are
added by what the processes themselves say waits (`vigil_pipeline_lag_records`), through KEDA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from deploy.processes.table import MIGRATE, PROCESSES, Place, Process, Server
from vigil.topics import KAFKA_TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Manifest = dict[str, Any]

HEAD: Final = "# Made by python -m deploy.processes from deploy/processes/table.py; a test compares.\n"
VERSION: Final = "0.1.0"
PARTITIONS: Final = 12
"""Of each topic: as many members a lane can have; more may be added, never fewer."""
KEEP_MS: Final = 14 * 24 * 3600 * 1000
"""A restored database reads on from its place in the log: the log reaches further back than backups."""
USER: Final = 10001
"""Of the images; no file of theirs belongs to it."""
LAG: Final = {"alarms": ("alarm", 200), "bulk": ("bulk", 20_000)}
"""Records that wait for one member more: about ten seconds of what one takes in."""
WHERE: Final[dict[Server, tuple[dict[str, str], int]]] = {
    Server.MQTT: ({"app.kubernetes.io/name": "mosquitto"}, 1883),
    Server.KAFKA: ({"strimzi.io/cluster": "vigil", "strimzi.io/kind": "Kafka"}, 9092),
    Server.DATABASE: ({"cnpg.io/cluster": "vigil-db"}, 5432),
}
ELSEWHERE: Final = frozenset({"wal"})
"""CloudNativePG streams and keeps the database's log itself (`database.yaml`)."""


def inside() -> list[Process]:
    """Return the processes that run in the cluster."""
    return [each for each in PROCESSES if each.place is Place.PLATFORM and each.name not in ELSEWHERE]


def processes() -> str:
    """Return the platform's manifests."""
    made = [manifest for process in inside() for manifest in _all_of(process)]
    return _text([*made, _migrate(), _deny(), _names(), _monitor()])


def watchdog() -> str:
    """Return the watchdog's: for another cluster, another network and another name."""
    fallback = next(each for each in PROCESSES if each.place is Place.OUTSIDE)
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}
    pod = _pod(fallback, image="fallback", state="state")
    spec = {
        "replicas": 1,
        "serviceName": fallback.name,
        "selector": {"matchLabels": _labels(fallback)},
        "template": pod,
        "volumeClaimTemplates": [{"metadata": {"name": "state"}, "spec": claim}],
    }
    return _text([_manifest("apps/v1", "StatefulSet", fallback.name, spec), _service(fallback)])


def topics() -> str:
    """Return Kafka's topics, for Strimzi."""
    spec = {
        "partitions": PARTITIONS,
        "replicas": 3,
        "config": {
            "min.insync.replicas": 2,
            "retention.ms": KEEP_MS,
            "unclean.leader.election.enable": False,
        },
    }
    made = [_manifest("kafka.strimzi.io/v1beta2", "KafkaTopic", topic, spec) for topic in KAFKA_TOPICS]
    for manifest in made:
        manifest["metadata"]["labels"] = {"strimzi.io/cluster": "vigil"}
    return _text(made)


def _text(manifests: Iterable[Manifest]) -> str:
    written: str = yaml.dump_all(manifests, Dumper=_Plain, sort_keys=False, width=110)
    return HEAD + written


class _Plain(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML is untyped
    """Writes everything out: a reader of manifests does not expect anchors."""

    def ignore_aliases(self, _data: object) -> bool:
        """Say that nothing is to be referred to."""
        return True


def _manifest(version: str, kind: str, name: str, spec: Manifest) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _labels(process: Process) -> dict[str, str]:
    return {"app.kubernetes.io/name": process.name, "app.kubernetes.io/part-of": "vigil"}


def _all_of(process: Process) -> Iterator[Manifest]:
    yield _deployment(process)
    yield _manifest(
        "policy/v1", "PodDisruptionBudget", process.name,
        {"maxUnavailable": 1, "selector": {"matchLabels": _labels(process)}},
    )  # fmt: skip
    yield _by_lag(process) if process.name in LAG else _by_load(process)
    yield _policy(process)
    if process.port:
        yield _service(process)


def _deployment(process: Process) -> Manifest:
    spec = {
        "replicas": process.members,
        # The new one is ready before an old one goes: no lane is without a member.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "selector": {"matchLabels": _labels(process)},
        "template": _pod(process, image="platform"),
    }
    return _manifest("apps/v1", "Deployment", process.name, spec)


def _pod(process: Process, *, image: str, state: str | None = None) -> Manifest:
    apart = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": _labels(process)},
    }
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": process.stop_s + 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [apart],
        "containers": [_container(process, image, state)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}, _secrets(process)],
    }
    return {"metadata": {"labels": _labels(process)}, "spec": spec}


def _container(process: Process, image: str, state: str | None) -> Manifest:
    mounts = [
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the container's own
        {"name": "secrets", "mountPath": "/run/secrets/vigil", "readOnly": True},
    ]
    if state is not None:
        mounts.append({"name": state, "mountPath": "/var/lib/vigil"})
    made: Manifest = {
        "name": process.name,
        "image": f"vigil/{image}:{VERSION}",
        "args": process.module.split(),
        "envFrom": [{"configMapRef": {"name": "vigil"}}],
        "env": _environment(process),
        "resources": {
            "requests": {"cpu": "250m", "memory": f"{process.memory_mb // 2}Mi"},
            "limits": {"cpu": str(process.cpus), "memory": f"{process.memory_mb}Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }
    return made | (_watched(process) if process.ops_port else {})


def _watched(process: Process) -> Manifest:
    """Give ports and probes: alive is that it answers, ready is that it can do its work."""
    ports = [{"name": "ops", "containerPort": process.ops_port}]
    if process.port:
        ports.append({"name": "http", "containerPort": process.port})
    alive, ready = ({"httpGet": {"path": path, "port": "ops"}} for path in ("/healthz", "/readyz"))
    return {
        "ports": ports,
        "startupProbe": {**alive, "periodSeconds": 2, "failureThreshold": 60},
        "livenessProbe": {**alive, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        "readinessProbe": {**ready, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 2},
    }


def _environment(process: Process) -> list[Manifest]:
    own = {"VIGIL_SECRETS": "/run/secrets/vigil", **process.environment, **process.files}
    if process.ops_port:
        own |= {"VIGIL_OPS_HOST": "0.0.0.0", "VIGIL_OPS_PORT": str(process.ops_port)}
    if process.port:
        own[f"VIGIL_{process.name.upper()}_HOST"] = "0.0.0.0"
    made: list[Manifest] = [{"name": name, "value": value} for name, value in own.items()]
    if process.name == "ingest":
        # A member's name is its session at the broker: two must not share one.
        made.append(
            {"name": "VIGIL_INGEST_MEMBER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        )
    return made


def _secrets(process: Process) -> Manifest:
    """Mount what this process needs, and nothing else of the secret."""
    items = [{"key": name.lower(), "path": name.lower()} for name in process.secrets]
    return {
        "name": "secrets",
        "secret": {"secretName": f"vigil-{process.login}", "defaultMode": 0o440, "items": items},
    }


def _by_load(process: Process) -> Manifest:
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 150}},
    }
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": process.name},
        "minReplicas": process.members,
        "maxReplicas": process.most,
        "metrics": [metric],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
    }
    return _manifest("autoscaling/v2", "HorizontalPodAutoscaler", process.name, spec)


def _by_lag(process: Process) -> Manifest:
    pipeline, each = LAG[process.name]
    trigger = {
        "type": "prometheus",
        "metadata": {
            "serverAddress": "http://prometheus-operated.monitoring.svc:9090",
            "query": f'sum(vigil_pipeline_lag_records{{pipeline="{pipeline}"}})',
            "threshold": str(each),
        },
    }
    spec = {
        "scaleTargetRef": {"name": process.name},
        "minReplicaCount": process.members,
        "maxReplicaCount": process.most,
        # A member that comes or goes moves partitions: not for every burst.
        "pollingInterval": 15,
        "cooldownPeriod": 600,
        # Without Prometheus: as many as a usual evening needs, not the fewest.
        "fallback": {"failureThreshold": 4, "replicas": process.members},
        "triggers": [trigger],
    }
    return _manifest("keda.sh/v1alpha1", "ScaledObject", process.name, spec)


def _service(process: Process) -> Manifest:
    ports = [{"name": "http", "port": process.port, "targetPort": "http"}]
    return _manifest("v1", "Service", process.name, {"selector": _labels(process), "ports": ports})


def _policy(process: Process) -> Manifest:
    """Let a process reach its servers, and be reached by Prometheus and, where it serves people, by the ingress."""
    out = [
        {"to": [{"podSelector": {"matchLabels": labels}}], "ports": [_tcp(port)]}
        for server, (labels, port) in WHERE.items()
        if server in process.speaks_to
    ]
    into = [{"from": [_of("monitoring")], "ports": [_tcp(process.ops_port)]}]
    if process.port:
        into.append({"from": [_of("ingress")], "ports": [_tcp(process.port)]})
        # Notices and webhooks go to providers on the Internet.
        out.append({"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [_tcp(443), _tcp(465), _tcp(587)]})
    spec = {
        "podSelector": {"matchLabels": _labels(process)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": into,
        "egress": out,
    }
    return _manifest("networking.k8s.io/v1", "NetworkPolicy", process.name, spec)


def _of(namespace: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}


def _tcp(port: int) -> Manifest:
    return {"protocol": "TCP", "port": port}


def _deny() -> Manifest:
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    return _manifest("networking.k8s.io/v1", "NetworkPolicy", "deny-all", spec)


def _names() -> Manifest:
    """Let everybody ask for names."""
    rule = {"to": [_of("kube-system")], "ports": [{"protocol": kind, "port": 53} for kind in ("UDP", "TCP")]}
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]}
    return _manifest("networking.k8s.io/v1", "NetworkPolicy", "ask-for-names", spec)


def _migrate() -> Manifest:
    """Migrate before the members of a new version start; a job's name is its version's."""
    pod = _pod(MIGRATE, image="platform")
    pod["spec"] |= {"restartPolicy": "OnFailure"}
    del pod["spec"]["topologySpreadConstraints"]
    spec = {"backoffLimit": 20, "ttlSecondsAfterFinished": 86_400, "template": pod}
    return _manifest("batch/v1", "Job", f"migrate-{VERSION.replace('.', '-')}", spec)


def _monitor() -> Manifest:
    """Have Prometheus' operator scrape everybody, under the jobs that the rules name."""
    room = {"sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"], "targetLabel": "job"}
    jobs = [
        {**room, "regex": regex, "replacement": f"vigil-{job}"}
        for regex, job in (("ingest", "ingest"), ("alarms|bulk", "processors"), ("api", "api"))
    ]
    spec = {
        "selector": {"matchLabels": {"app.kubernetes.io/part-of": "vigil"}},
        "podMetricsEndpoints": [{"port": "ops", "interval": "10s", "relabelings": jobs}],
    }
    return _manifest("monitoring.coreos.com/v1", "PodMonitor", "vigil", spec)
