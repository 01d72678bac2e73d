"""`make up`: the servers, the schema, Vigil's processes and a small community, until Ctrl-C.

Everything that outlives a run is under `var/` (VIGIL_VAR names another folder); the next run
finds it there.  VIGIL_API_PORT moves the console, VIGIL_FALLBACK_PORT the watchdog's page.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.embedded.children import ENDING
from deploy.embedded.community import COMMUNITY, ESTATES, community
from deploy.embedded.plan import MAKE_LOGINS, MIGRATE, Node, Place, Watchdog, children
from deploy.embedded.seed import (
    canaries,
    kept_api_secret,
    kept_master_key,
    kept_push_key,
    kept_roster_key,
    kept_secrets,
    seed,
)
from deploy.embedded.servers import HOST, EmbeddedStack, free_port, refuse_full_disk, refuse_taken_port
from deploy.embedded.supervisor import Household, Program
from edge.fetch import fetch
from vigil.clock import utc_now
from vigil.errors import Misconfigured, Stop, VigilError
from vigil.sealing import Vault, read_master

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deploy.embedded.community import DemoCommunity
    from deploy.embedded.seed import Secrets

ROOT: Final = Path(__file__).resolve().parents[2]
TICK_S: Final = 0.2
PATIENCE_S: Final = 30.0
"""After this long without everybody being ready, what is missing is said; the wait goes on."""


def say(line: str) -> None:
    """Tell the person at the terminal; that it is gone must not stop the stopping."""
    with suppress(OSError):
        print(f"vigil: {line}", flush=True)


def end(_number: int, _frame: object) -> None:
    """Begin to end.  From here on only a second Ctrl-C hastens it.

    `make` passes SIGTERM on to a process that has got it with its group already, and a closing
    terminal sends several signals: the second one must not cut the orderly end short.

    Raises:
        KeyboardInterrupt: Always.
    """
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise KeyboardInterrupt


@contextmanager
def only_one(var: Path) -> Iterator[None]:
    """Hold the folder; the system lets go of it when this process ends, however it ends.

    Raises:
        Stop: Another `make up` holds it.
    """
    try:
        var.mkdir(parents=True, exist_ok=True)
        lock = (var / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise Stop(f"{var} cannot be used: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Stop(
                f"another `make up` (process {lock.read().strip()}) uses {var}; end it first"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def port(variable: str, default: int) -> int:
    """Read a port from the environment.

    Raises:
        Misconfigured: It is no port.
    """
    value = os.environ.get(variable, str(default))
    if not value.isdigit() or not 0 < int(value) < 65536:
        raise Misconfigured(variable, f"is no port ({value!r})")
    return int(value)


def care(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Bring the schema up to date, or give the processes their logins.

    Raises:
        Stop: It failed; the sentence ends with what it said.
    """
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = " | ".join((done.stderr or done.stdout).splitlines()[-3:])
        raise Stop(f"`python {' '.join(command)}` failed: {said}")


def recordings() -> Path | None:
    """Return the folder of recordings to replay, None to simulate.

    Raises:
        Misconfigured: The folder named is not there.
    """
    named = os.environ.get("VIGIL_DATA")
    if named and not Path(named).is_dir():
        raise Misconfigured("VIGIL_DATA", f"{named} is no folder (make up DATA=DIR sets it)")
    return Path(named) if named else None


def pose_model(var: Path, data: Path | None) -> Path | None:
    """Return the cameras' model, fetched once; without it they report motion and stillness only."""
    if data is None:
        return None
    model = var / "models" / "movenet.tflite"
    try:
        fetch(model)
    except VigilError as error:
        say(f"the cameras go without a pose model: {error}")
        return None
    return model


def nodes(var: Path, demo: DemoCommunity) -> list[Node]:
    """Write the files of the community's edge nodes."""
    (var / "edge").mkdir(exist_ok=True)
    return [Node(name, path, {}) for name, path in demo.write_nodes(var / "nodes").items()]


def watch(household: Household, place: Place, secrets: Secrets) -> None:
    """Keep all running until Ctrl-C, and say once when all are ready."""
    ready, patience_ends = False, time.monotonic() + PATIENCE_S
    while True:
        household.step(time.monotonic())
        if not ready:
            missing = household.missing()
            ready = not missing
            if ready:
                say(f"ready: the duty console is at {place.console} (Ctrl-C ends everything)")
                say(f"sign in as officer, password {secrets.password}; the watchdog's page: {place.watchdog}")
                say(f"what officers get on their telephones is in {place.mailbox}")
            elif time.monotonic() > patience_ends:
                say(f"still waiting for {'; '.join(missing)}; logs: {place.var / 'log'}")
                patience_ends += PATIENCE_S
        time.sleep(TICK_S)


def run(var: Path) -> None:
    """Bring everything up, keep it up, and take it down in the opposite order.

    Raises:
        Stop: Something needed cannot start.
        KeyboardInterrupt: A person or SIGTERM ended it.
    """
    console, page = port("VIGIL_API_PORT", 8000), port("VIGIL_FALLBACK_PORT", 8090)
    refuse_taken_port("console (VIGIL_API_PORT names another)", console)
    refuse_taken_port("watchdog's page (VIGIL_FALLBACK_PORT names another)", page)
    refuse_full_disk("vigil", var)
    data = recordings()
    os.environ.pop("VIGIL_DATABASE_DSN", None)  # of another stack; it would go before the logins made here
    stack = EmbeddedStack(var)
    key = kept_roster_key(var)
    master = kept_master_key(var)
    servers = stack.addresses.environment()
    place = Place(
        *(var, HOST, console, page, key.file, servers, kept_api_secret(var), master, kept_push_key(var))
    )
    household = Household(say, random.random)
    say("starting MQTT, Kafka and PostgreSQL; the Kafka log is in memory only and ends with this run")
    try:
        stack.start()
        for server in (stack.postgres, stack.kafka, stack.broker):
            household.take_in(server, time.monotonic())
        care(MIGRATE, place.servers)
        care((*MAKE_LOGINS, str(place.logins)), place.servers)
        demo, secrets = community(data, pose_model(var, data)), kept_secrets(var)
        canary_nodes = canaries(COMMUNITY, list(ESTATES))
        vault = Vault(read_master(master))
        seed(stack.addresses.database_dsn, demo, canary_nodes, secrets, utc_now(), vault)
        watchdog = Watchdog(secrets.token, secrets.roster_token, key.public, secrets.password, canary_nodes)
        for child in children(place, nodes(var, demo), watchdog, free_port):
            log = var / "log" / f"{child.name}.log"
            household.take_in(Program(child, log, ROOT), time.monotonic())
        watch(household, place, secrets)
    finally:
        say("stopping")
        household.stop()
        stack.stop()


def main() -> int:
    """Run until Ctrl-C, SIGTERM or a closed terminal; an error is one line."""
    for number in ENDING:
        signal.signal(number, end)
    var = Path(os.environ.get("VIGIL_VAR", ROOT / "var")).absolute()
    try:
        with only_one(var):
            run(var)
    except KeyboardInterrupt:
        say("stopped")
        return 0
    except Stop as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
