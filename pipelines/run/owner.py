"""On whose behalf a notebook runs: the process of ``cloudarb run``, named so that it can be found.

A process id means something on its own machine, and there in its own container only. So a job that
a batch queue took to another machine does not look for its owner; the queue ends it.
"""

from __future__ import annotations

import os
from pathlib import Path

OWNER = "CLOUDARB_RUN_OWNER"
"""Environment variable: the process on whose behalf we run; once it is gone, we stop."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
PROCESS_IDS = Path("/proc/self/ns/pid")
"""Names the set of processes whose ids are meant: one for each container."""


def place() -> str:
    """Return what names this machine since its start, and whose process ids are meant there.

    Returns
    -------
    str
        '' where the system tells neither (it has no /proc).
    """
    try:
        return f"{_BOOT.read_text().strip()}/{os.readlink(PROCESS_IDS)}"
    except OSError:
        return ""


def this_process() -> str:
    """Return the value of ``OWNER`` for the processes that work for this one."""
    return f"{place()} {os.getpid()}"


def is_gone(owner: str) -> bool:
    """Say whether a process is known to have ended.

    Parameters
    ----------
    owner : str
        As of ``this_process``. Of one on another machine, or none (''), nothing is known.
    """
    named, _, pid = owner.rpartition(" ")
    return named != "" and named == place() and not Path(f"/proc/{pid}").exists()
