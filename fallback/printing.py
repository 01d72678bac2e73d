"""Hands papers to a printer through CUPS (`lp`), where one is set.

Used by `desk` when a person asks, and by `__main__` when a fallback is declared: who comes
running finds the pack in the tray.  The printer hangs on the watchdog's own machine.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

from vigil.errors import Unavailable

HAND_OVER_S: Final = 30.0
"""CUPS takes a job into its queue at once; whether there is paper is another matter."""


def send(pdf: bytes, printer: str, title: str) -> None:
    """Put a paper into a printer's queue; blocks while CUPS takes it.

    Args:
        pdf: What is printed.
        printer: Its name in CUPS.
        title: What the queue shows; no names of residents.

    Raises:
        Unavailable: CUPS is not here, or does not take it.
    """
    lp = shutil.which("lp")
    if lp is None:
        raise Unavailable(f"the printer {printer}", "lp is not installed (Debian: cups-client)")
    command = [lp, "-d", printer, "-t", title, "-"]
    try:
        # The printer's name is a setting, and no shell reads it.
        done = subprocess.run(command, input=pdf, capture_output=True, timeout=HAND_OVER_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"the printer {printer}", error) from None
    if done.returncode:
        raise Unavailable(f"the printer {printer}", done.stderr.decode(errors="replace").strip())
