"""Sets of runs: several configurations, and values over which each is repeated."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.wording import setting_in_words
from pipelines.exit_codes import DONE
from pipelines.run.config import load_config, read_changes


@dataclass(frozen=True)
class Variation:
    """One run of a set.

    Parameters
    ----------
    config : Path
        Its configuration.
    changes : dict
        Values in place of the configuration's.
    varied : tuple of str
        Of these, the keys by which it differs from others of the set.
    """

    config: Path
    changes: dict[str, Any]
    varied: tuple[str, ...]

    @property
    def name(self) -> str:
        """What to call it."""
        return " ".join([self.config.name, *(f"{k}={self.changes[k]}" for k in self.varied)])

    @property
    def words(self) -> list[str]:
        """The command line of the run, without where it writes."""
        pairs = [f"{key}={json.dumps(value, default=str)}" for key, value in self.changes.items()]
        return ["run", str(self.config), *(word for pair in pairs for word in ("--set", pair))]


def variations(
    configs: Sequence[Path], changes: dict[str, Any], over: Sequence[str]
) -> list[Variation]:
    """Return the runs of a set, each checked like a single one.

    Parameters
    ----------
    configs : sequence of Path
        The configurations.
    changes : dict
        Values for all of them.
    over : sequence of str
        KEY=[VALUE, VALUE, ...]; of several keys every combination is run.

    Raises
    ------
    ParameterError
        Where a word is no such thing, or a run cannot be.
    """
    values: dict[str, Any] = read_changes(over, "--over")
    for key, listed in values.items():
        if not isinstance(listed, list) or not listed or key in changes:
            what = f"--over {key}={listed!r} is no list of values, or --set has {key} too."
            raise ParameterError(what, "Write for instance --over 'budget_usd=[1e6, 2e6]'.")
    found = []
    for config in configs:
        title = load_config(config, changes=changes).settings["title"]
        for chosen in itertools.product(*values.values()):
            varied = dict(zip(values, chosen, strict=True))
            load_config(config, changes=changes, varied=varied)
            of_run = changes | varied
            if varied:
                said = [f"{key} {setting_in_words(value)}" for key, value in varied.items()]
                of_run |= {"title": f"{title} ({', '.join(said)})"}
            found.append(Variation(config, of_run, tuple(varied)))
    return found


def run_all(runs: Sequence[Variation], *, reports: Path | None, cores: int) -> int:
    """Carry out the runs of a set side by side; return the first exit code that is not 0.

    Each is a process of its own. What several need alike is made once (``reuse``).

    Parameters
    ----------
    runs : sequence of Variation
        The set.
    reports : Path or None
        Folder of the reports; the project's without.
    cores : int
        To share among them.
    """
    at_once = max(1, min(len(runs), cores))
    more = ["--cores", str(max(1, cores // at_once))]
    if reports:
        more += ["--reports", str(reports)]
    print(f"{len(runs)} runs, {at_once} at once", flush=True)
    processes: list[subprocess.Popen[str]] = []

    def carry_out(run: Variation) -> int:
        command = [sys.executable, "-m", "pipelines.cli", *run.words, *more]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        processes.append(process)
        said, _ = process.communicate()
        last = said.rstrip().splitlines()[-1:] or ["nothing said"]
        shown = last[0] if process.returncode == DONE else said.rstrip()
        print(f"{run.name}: {shown}", flush=True)
        return process.returncode

    with ThreadPoolExecutor(at_once) as pool:
        try:
            codes = list(pool.map(carry_out, runs))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()
            raise
    return next((code for code in codes if code), DONE)


def cores_here() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))
