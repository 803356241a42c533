"""The process that makes one plan: ``python -m pipelines.serve.worker FOLDER``.

It watches over ``cloudarb allocate``: its time limit, and whether somebody asked it to stop.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from cloudarb_lib.base.worker import start_child
from pipelines.exit_codes import DONE, INFEASIBLE
from pipelines.run.files import read_json, scrub, write_json
from pipelines.serve.plans import CANCEL

_LOOK_AGAIN_S = 0.1
_STATES = {DONE: "solved", INFEASIBLE: "infeasible"}
_MOST_LETTERS = 4000


def main(folder: Path) -> None:
    """Make the plan that the folder's request asks for, and write how it ended."""
    asked = read_json(folder / "request.json")
    assert asked is not None, "written before this process begins"
    log = folder / "log.txt"
    with log.open("w", encoding="utf-8") as output:
        solving = start_child(
            [sys.executable, "-m", "pipelines.cli", *asked["words"]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        state = _watched(solving, folder, asked["limit_s"])
    said = scrub(log.read_text(encoding="utf-8", errors="replace"), {folder: "PLAN"})
    write_json(folder / "status.json", {"state": state, "message": said[-_MOST_LETTERS:]})


def _watched(solving: subprocess.Popen[bytes], folder: Path, limit_s: float) -> str:
    """Wait for the end of a process, its time, or somebody who asks it to stop."""
    ends_s = time.monotonic() + limit_s
    while True:
        try:
            code = solving.wait(_LOOK_AGAIN_S)
            return _STATES.get(code, "failed")
        except subprocess.TimeoutExpired:
            cancelled = (folder / CANCEL).exists()
            if cancelled or time.monotonic() > ends_s:
                os.killpg(solving.pid, signal.SIGKILL)
                solving.wait()
                return "cancelled" if cancelled else "out_of_time"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
