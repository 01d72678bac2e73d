"""Apache Kafka (KRaft, one server) as `deploy/kafka/start` starts it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from deploy.embedded.servers import HOST, ServerError, ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START: Final = Path(__file__).parents[2] / "deploy/kafka/start"
QUICK: Final = "-Xms64m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
"""The quick compiler alone: a test's server lives for minutes, and two cores have other work.
Whoever measures throughput gives `deploy/kafka/start`'s own default instead."""


def missing() -> str | None:
    """Return what this machine lacks for it, or None."""
    absent = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if absent:
        return f"{' and '.join(absent)} not installed (apt-get install maven openjdk-17-jre-headless)"
    return None


class ApacheKafka(ServerProcess):
    """A Kafka on the loopback; its log survives a kill, since the kernel has it."""

    name: ClassVar[str] = "kafka"

    def __init__(
        self, folder: Path, port: int = 0, *, jvm: str = QUICK, more: Mapping[str, str] | None = None
    ) -> None:
        """Name its folder, its port (0: a free one), the options of its Java machine, and more variables."""
        super().__init__(folder, port)
        self._controller_port = free_port()
        self._jvm = jvm
        self._more = more or {}

    def _prepare(self) -> Sequence[str]:
        reason = missing()
        if reason is not None:
            raise ServerError(self.name, reason)
        # Maven may have to fetch the jars first, which takes longer than a start may.
        subprocess.run([str(START), "--fetch"], check=True, stdin=subprocess.DEVNULL)
        ports = [str(self.port), str(self._controller_port)]
        more = [f"{name}={value}" for name, value in self._more.items()]
        return ["env", f"KAFKA_JVM={self._jvm}", *more, str(START), str(self.folder), *ports]

    def _is_ready(self) -> bool:
        """Wait for its own word: the port opens before the controller lets the broker serve."""
        return self._child is not None and b"Kafka Server started" in self._child.output()


def bootstrap(server: ApacheKafka) -> str:
    """Return its address for clients."""
    return f"{HOST}:{server.port}"
