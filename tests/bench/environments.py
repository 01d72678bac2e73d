"""The peers' environments: installed at bench time, never part of ours."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from typing import Final

from tests.bench.processes import ROOT, BenchError

REQUIREMENTS: Final = {
    "usual": ("aiomqtt==2.5.1", "pydantic==2.14.3", "aiokafka==0.14.0", "cramjam==2.14.0"),
    "mqbridge": ("mq-bridge==1.2.0",),
    "quix": ("quixstreams==3.28.1", "numpy", "msgspec", "onnxruntime", "psycopg[binary]==3.3.9"),
    "bytewax": ("bytewax[kafka]==0.21.1", "numpy", "msgspec", "onnxruntime", "psycopg[binary]==3.3.9"),
}


def python_of(peer: str) -> str:
    """Return the interpreter of a peer's environment, made the first time.

    Raises:
        BenchError: It cannot be installed here.
    """
    wanted = " ".join(REQUIREMENTS[peer])
    folder = ROOT / "var/bench" / f"{peer}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        print(f"installing {wanted} (once) ...", file=sys.stderr, flush=True)
        _run(sys.executable, "-m", "venv", str(folder))
        _run(
            str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS[peer]
        )
        (folder / "complete").touch()
    return str(python)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{command[-1]} cannot be installed: {done.stderr.strip()[-500:]}")
