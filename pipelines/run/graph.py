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
from pipelines.run.folders import RunFolders
from pipelines.run.owner import OWNER, this_process
from pipelines.run.stages import stages_named

_SNAKEFILE = Path(__file__).with_name("Snakefile")
END_S = 10
"""Seconds that the graph has to end by itself before it is asked, and then made, to end at once."""


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
            for name, stage in stages_named(rests_on).items()
        },
    }
    write_json(folders.state / "graph.json", graph)


def carry_out(folders: RunFolders, lock: int, cores: int) -> GraphEnd:
    """Run the graph, whose runners print what happens; return how it ended.

    Parameters
    ----------
    folders : RunFolders
        Where the run writes.
    lock, cores : int
        As of ``run_snakemake``.
    """
    log = folders.state / "graph.log"
    code = run_snakemake(_SNAKEFILE, folders.state, log=log, lock=lock, cores=cores)
    local_names = {folders.state: ".", folders.reports: ".."}
    text = scrub(log.read_text(errors="replace"), local_names)
    write_text(folders.run_dir / "logs" / "graph.log", text)
    return GraphEnd(code, " ".join(text.splitlines()[-3:]))


def run_snakemake(snakefile: Path, folder: Path, *, log: Path, lock: int, cores: int) -> int:
    """Carry out a graph in a folder, here or where a profile of Snakemake's says.

    Ctrl-C and SIGTERM end its processes, all of them.

    Parameters
    ----------
    snakefile : Path
        What says the rules; it is configured by graph.json of the folder.
    folder : Path
        Where it works.
    log : Path
        Gets what Snakemake says.
    lock : int
        File descriptor of a lock, which its processes inherit: it is held as long as one lives.
    cores : int
        To use at once.

    Returns
    -------
    int
        Exit code of Snakemake, or ``STOPPED``.
    """
    with log.open("w") as out:
        process = subprocess.Popen(
            _command(snakefile, folder, cores),
            cwd=folder,
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
    return code


def _command(snakefile: Path, folder: Path, cores: int) -> list[str]:
    return [
        *(sys.executable, "-m", "snakemake"),
        *("--snakefile", str(snakefile)),
        *("--directory", str(folder)),
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
