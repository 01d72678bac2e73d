"""systemd's files for hosts without containers, made of the table; pure.

Neighbours: `table`; the units of a box and of the broker's host stand in `deploy/systemd` as they
were written.  Secrets are systemd's credentials: files in /etc/vigil/secrets that root alone reads,
handed to the one process that needs each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from deploy.processes.table import MIGRATE, PROCESSES, Place, Process

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD: Final = "# Made by python -m deploy.processes from deploy/processes/table.py; a test compares.\n"
SANDBOX: Final = """
User=vigil
Group=vigil
UMask=0077
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallArchitectures=native
SystemCallFilter=@system-service
"""
PYTHON: Final = "/opt/vigil/bin/python"
STATE: Final = "/var/lib/vigil"


def files() -> Iterator[tuple[str, str]]:
    """Yield the name and the content of each file."""
    for process in (each for each in PROCESSES if each.place is not Place.BOX):
        yield f"vigil-{process.name}.service", _service(process)
    yield "vigil-migrate.service", _once(MIGRATE, [MIGRATE.module])
    wal = next(process for process in PROCESSES if process.name == "wal")
    yield (
        "vigil-base.service",
        _once(wal, ["deploy.backup base", "deploy.backup prune"], "makes a base backup"),
    )
    yield "vigil-base.timer", _TIMER
    yield "vigil.target", _target()


def _service(process: Process) -> str:
    return "".join(
        [
            HEAD,
            _unit(process.means, after="vigil-migrate.service"),
            "\n[Service]\nType=exec\nRestart=always\nRestartSec=2\n",
            f"ExecStart={PYTHON} -m {process.module}\n",
            f"TimeoutStopSec={process.stop_s}\n",
            _surroundings(process),
            SANDBOX,
            f"\nMemoryMax={process.memory_mb}M\nTasksMax=256\nOOMPolicy=stop\n",
            "\n[Install]\nWantedBy="
            + ("vigil.target" if process.place is Place.PLATFORM else "multi-user.target"),
            "\n",
        ]
    )


def _once(process: Process, modules: list[str], means: str = "") -> str:
    commands = "".join(f"ExecStart={PYTHON} -m {module}\n" for module in modules)
    return "".join(
        [
            HEAD,
            _unit(means or process.means),
            "\n[Service]\nType=oneshot\n",
            commands,
            _surroundings(process),
            SANDBOX,
        ]
    )


def _unit(means: str, after: str = "") -> str:
    return (
        f"\n[Unit]\nDescription=Vigil: {means}\nDocumentation=file:/opt/vigil/share/README.md\n"
        f"After={' '.join(['network-online.target', 'time-sync.target', *after.split()])}\n"
        "Wants=network-online.target\n"
    )


def _surroundings(process: Process) -> str:
    """Give settings, secrets and folders; what a site sets goes before what we set."""
    own = {"VIGIL_SECRETS": "%d", **process.environment, **process.files}
    if process.ops_port:
        own["VIGIL_OPS_PORT"] = str(process.ops_port)
    lines = [f"Environment={name}={value}" for name, value in own.items()]
    lines += ["EnvironmentFile=-/etc/vigil/vigil.env", f"EnvironmentFile=-/etc/vigil/{process.name}.env"]
    folder = f"/etc/vigil/secrets/{process.login}"
    lines += [f"LoadCredential={name.lower()}:{folder}/{name.lower()}" for name in process.secrets]
    if process.files:
        lines += ["StateDirectory=vigil", "StateDirectoryMode=0700"]
    return "\n".join(["WorkingDirectory=/opt/vigil", *lines, ""])


_TIMER: Final = (
    HEAD
    + """
[Unit]
Description=Vigil: a base backup every night

[Timer]
OnCalendar=*-*-* 02:30
RandomizedDelaySec=30min
Persistent=true

[Install]
WantedBy=vigil.target
"""
)


def _target() -> str:
    wanted = " ".join(
        f"vigil-{process.name}.service" for process in PROCESSES if process.place is Place.PLATFORM
    )
    return (
        HEAD + f"\n[Unit]\nDescription=Vigil: the platform of a community on this host\n"
        f"Wants={wanted} vigil-base.timer\n\n[Install]\nWantedBy=multi-user.target\n"
    )
