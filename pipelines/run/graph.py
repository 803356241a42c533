"""The graph of a run, carried out by Snakemake: what it is told, its command, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudarb_lib.base import locations
from pipelines.exit_codes import STOPPED
from pipelines.run.config import RunConfig
from pipelines.run.files import scrub, write_json, write_text
from pipelines.run.owner import OWNER, this_process
from pipelines.run.stages import STAGES

_SNAKEFILE = Path(__file__).with_name("Snakefile")
END_S = 10
"""Seconds that the graph has to end by itself before it is asked, and then made, to end at once."""


@dataclass(frozen=True)
class RunFolders:
    """Where a run writes.

    Parameters
    ----------
    reports : Path
        Folder of all runs.
    run_id : str
        Name of this one.
    """

    reports: Path
    run_id: str

    @property
    def run_dir(self) -> Path:
        """What readers get: pages, notebooks, tables, manifest and logs."""
        return self.reports / self.run_id

    @property
    def state(self) -> Path:
        """What the graph keeps from one time to the next, and the lock of the run."""
        return self.reports / ".state" / self.run_id

    @property
    def lock(self) -> Path:
        """File of the lock that whoever carries out or removes the run holds."""
        return self.state / "lock"

    @property
    def shown(self) -> str:
        """The run's folder as messages name it, from the current one."""
        return os.path.relpath(self.run_dir)


@dataclass(frozen=True)
class GraphEnd:
    """How the graph ended: exit code of its process, and the end of what it printed."""

    code: int
    last_lines: str


def write_inputs(
    config: RunConfig, rests_on: dict[str, dict[str, Any]], folders: RunFolders
) -> None:
    """Write what the Snakefile reads: parameters of each notebook, and graph.json.

    Parameters
    ----------
    config : RunConfig
        Configuration of the run.
    rests_on : dict of dict
        By stage, plain values that its results rest on: it runs again when one changes.
    folders : RunFolders
        Where the run writes.
    """
    for stage, parameters in config.parameters.items():
        write_json(folders.state / "parameters" / f"{stage}.json", parameters)
    graph = {
        "python": sys.executable,
        "run_dir": os.path.relpath(folders.run_dir, folders.state),
        "notebooks": str(locations.notebooks()),
        "timeout_s": config.settings["timeout_s"],
        "stages": {
            name: {"after": stage.after, "tables": stage.tables, "rests_on": rests_on[name]}
            for name, stage in STAGES.items()
        },
    }
    write_json(folders.state / "graph.json", graph)


def carry_out(folders: RunFolders, lock: int, cores: int) -> GraphEnd:
    """Run the graph, whose runners print what happens; return how it ended.

    Its processes inherit the file descriptor ``lock``: the run stays locked as long as one lives.
    Ctrl-C and SIGTERM end them all, with exit code ``STOPPED``.
    """
    log = folders.state / "graph.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            _command(folders.state, cores),
            cwd=folders.state,
            stderr=out,
            env={**os.environ, OWNER: this_process()},
            pass_fds=[lock],
            start_new_session=True,
        )
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        code = STOPPED
    finally:
        _end_group(process)
        signal.signal(signal.SIGTERM, previous)
    local_names = {folders.state: ".", folders.reports: ".."}
    text = scrub(log.read_text(errors="replace"), local_names)
    write_text(folders.run_dir / "logs" / "graph.log", text)
    return GraphEnd(code, " ".join(text.splitlines()[-3:]))


def _command(state: Path, cores: int) -> list[str]:
    return [
        *(sys.executable, "-m", "snakemake"),
        *("--snakefile", str(_SNAKEFILE)),
        *("--directory", str(state)),
        *("--configfile", "graph.json"),
        *("--cores", str(cores)),
        *("--scheduler", "greedy"),
        "--nolock",
        "--rerun-incomplete",
        "--keep-going",
    ]


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the process group, first by a request, then by force.

    SIGTERM ends what runs here. Snakemake then waits for jobs of a batch queue, which did not get
    it, and cancels them on SIGINT.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(END_S)
