"""Prometheus and Alertmanager (Debian's) with the files that we ship, on free ports of the loopback."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.embedded.servers import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

SHIPPED: Final = Path(__file__).parents[2] / "deploy/prometheus"
PACKAGES: Final = {"prometheus": "prometheus", "prometheus-alertmanager": "prometheus-alertmanager"}


def missing() -> str | None:
    """Return what this machine lacks for it, or None."""
    lacks = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    return f"apt-get install {' '.join(lacks)}" if lacks else None


class Monitoring:
    """The two servers, looking every second at the targets of each job."""

    def __init__(self, folder: Path, targets: Mapping[str, list[str]], sink: str) -> None:
        """Prepare.

        Args:
            folder: Configuration and data.
            targets: `host:port` of each job, without its `vigil-`.
            sink: Address that takes what Alertmanager tells.
        """
        self._folder, self._sink, self._targets = folder, sink, targets
        self.port, self._alerts = free_port(), free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start both."""
        self._configure()
        listen = ["--web.listen-address", f"{HOST}:{self.port}"]
        # An alert that fired before Alertmanager was discovered is told again after a minute by default.
        data = ["--storage.tsdb.path", str(self._folder / "tsdb"), "--rules.alert.resend-delay", "1s"]
        self._start("prometheus", "--config.file", str(self._folder / "prometheus.yml"), *listen, *data)
        config = ["--config.file", str(self._folder / "alertmanager.yml"), "--cluster.listen-address="]
        data = ["--storage.path", str(self._folder / "alertmanager")]
        self._start(
            "prometheus-alertmanager", *config, "--web.listen-address", f"{HOST}:{self._alerts}", *data
        )
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End both."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(20)

    @property
    def alertmanager(self) -> str:
        """Address of Alertmanager."""
        return f"http://{HOST}:{self._alerts}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query; an error of Prometheus is raised."""
        asked = urllib.parse.urlencode({"query": expression})
        return list(self._get(f"/api/v1/query?{asked}")["result"])

    def alerts(self) -> dict[str, str]:
        """Return the state of every alert that is pending or firing, by its name."""
        found = self._get("/api/v1/alerts")["alerts"]
        return {alert["labels"]["alertname"]: alert["state"] for alert in found}

    def wait(self, said: Callable[[], bool], limit_s: float = 30.0) -> None:
        """Return when something has come about."""
        end = time.monotonic() + limit_s
        while True:
            try:
                if said():
                    return
            except OSError:
                pass  # not up yet
            assert time.monotonic() < end, self._said()
            time.sleep(0.2)

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=5) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return dict(found["data"])

    def _configure(self) -> None:
        """Copy what we ship, with this machine's ports and a faster pulse."""
        (self._folder / "targets").mkdir(parents=True)
        shutil.copytree(SHIPPED / "rules", self._folder / "rules")
        for job, addresses in self._targets.items():
            (self._folder / f"targets/{job}.yml").write_text(json.dumps([{"targets": addresses}]))
        text = (SHIPPED / "prometheus.yml").read_text().replace("_interval: 10s", "_interval: 1s")
        text = text.replace(":9093", f":{self._alerts}").replace(":9090", f":{self.port}")
        (self._folder / "prometheus.yml").write_text(text)
        text = (SHIPPED / "alertmanager.yml").read_text().replace("http://127.0.0.1:9095", self._sink)
        (self._folder / "alertmanager.yml").write_text(text)

    def _start(self, program: str, *arguments: str) -> None:
        with (self._folder / f"{program}.log").open("wb") as log:
            self._processes.append(subprocess.Popen([program, *arguments], stdout=log, stderr=log))

    def _said(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in self._folder.glob("*.log"))
