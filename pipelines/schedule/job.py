"""What is scheduled, as it is written down, and one turn of it."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.files import locked
from cloudarb_lib.base.tracing import span
from pipelines.exit_codes import DONE
from pipelines.observe.tracing import recorded
from pipelines.run.files import read_json, scrub, write_json
from pipelines.run.notebook import now

LOG_BYTES = 2**20
"""From this size on a log is put aside, in place of the one before."""
SECRETS = "secrets.env"
"""File of the working folder with NAME=value lines, for what stands in no configuration."""


@dataclass(frozen=True)
class Job:
    """A configuration that runs by itself.

    Parameters
    ----------
    name : str
        Of the job, and of its files.
    config : str
        The configuration, by its whole path.
    set : tuple of str
        Values in place of its own, KEY=VALUE.
    alerts : str
        File of alerts looked at after each run, by its whole path; '' for none.
    keep : int
        Ended runs of the configuration that stay.
    weekday : str
        mon to sun, or daily.
    at : str
        HH:MM.
    timer : str
        What starts it: systemd or crontab.
    collect : bool
        Whether a turn begins with collecting prices.
    """

    name: str
    config: str
    set: tuple[str, ...]
    alerts: str
    keep: int
    weekday: str
    at: str
    timer: str
    collect: bool = False

    @property
    def words(self) -> list[str]:
        """The command that a timer starts."""
        return [sys.executable, "-m", "pipelines.cli", "schedule", "turn", self.name]


def folder() -> Path:
    """Return the folder of what is scheduled: a job, its lock, its log and its last end each."""
    return locations.reports() / ".state" / "schedule"


def log_path(name: str) -> Path:
    """Return the log of a job."""
    return folder() / f"{name}.log"


def spans_path(name: str) -> Path:
    """Return the file of the spans of a job's turns."""
    return folder() / f"{name}.spans.jsonl"


def save(job: Job) -> None:
    """Write a job down."""
    write_json(folder() / f"{job.name}.json", asdict(job))


def load(name: str) -> Job:
    """Return a job; ParameterError where there is none of that name."""
    written = read_json(folder() / f"{name}.json")
    if written is None:
        names = ", ".join(job.name for job in jobs()) or "none"
        raise ParameterError(f"nothing named {name!r} is scheduled.", f"Scheduled: {names}.")
    return Job(**{**written, "set": tuple(written["set"])})


def jobs() -> list[Job]:
    """Return all jobs, by name."""
    names = sorted(path.stem for path in folder().glob("*.json") if ".last" not in path.name)
    return [load(name) for name in names]


def last_turn(name: str) -> dict[str, Any] | None:
    """Return when the last turn of a job began and ended, and its codes; None before the first.

    It ended at None where it goes on, or was killed.
    """
    return read_json(folder() / f"{name}.last.json")


def turn(job: Job, steps: Mapping[str, Callable[[], int]]) -> int:
    """Carry out the steps of a job, one after the other, into its log.

    Parameters
    ----------
    job : Job
        What is scheduled.
    steps : mapping of str to callable
        Each returns an exit code, or raises; whatever it does, those after it are taken.

    Returns
    -------
    int
        The first exit code that is not 0.

    Raises
    ------
    ParameterError
        Where a turn of the job is in progress.
    """
    with locked(folder() / f"{job.name}.lock", ParameterError, f"schedule {job.name}"):
        told: dict[str, Any] = {"began_at": now(), "ended_at": None, "codes": {}}
        codes = told["codes"]
        last = folder() / f"{job.name}.last.json"
        write_json(last, told)
        with _logged(log_path(job.name)) as log:
            print(f"== {told['began_at']} {job.name}", file=log)
            with recorded(f"turn {job.name}", spans_path(job.name)):
                for step, act in steps.items():
                    with span(step):
                        codes[step] = _code_of(act, log)
                    print(f"== {now()} {step}: exit code {codes[step]}", file=log)
        write_json(last, told | {"ended_at": now()})
    return next((code for code in codes.values() if code), DONE)


def _code_of(act: Callable[[], int], log: TextIO) -> int:
    """Return the exit code of a step, 1 where it broke; the log then says how, without paths."""
    try:
        return act()
    except Exception as fault:
        print(scrub(f"{type(fault).__name__}: {fault}"), file=log)
        return int(getattr(fault, "exit_code", 1))


@contextlib.contextmanager
def _logged(path: Path) -> Iterator[TextIO]:
    """Let everything that is printed, by child processes too, go to the end of a log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    with path.open("a", buffering=1) as log:
        sys.stdout.flush()
        sys.stderr.flush()
        shown = [os.dup(1), os.dup(2)]
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield log
        finally:
            for number, kept in enumerate(shown, start=1):
                os.dup2(kept, number)
                os.close(kept)


def take_secrets(path: Path) -> int:
    """Put the lines of a file of secrets into the environment, for the steps after this one."""
    os.environ.update(read_secrets(path))
    return DONE


def read_secrets(path: Path) -> dict[str, str]:
    """Return the NAME=value lines of a file; none where it does not exist.

    Raises
    ------
    ParameterError
        Where others may read it, or a line is none; the value is not told.
    """
    if not path.exists():
        return {}
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ParameterError(f"others may read {path.name}.", f"chmod 600 {path.name}")
    secrets = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        name, equals, value = line.partition("=")
        if line.strip() and not line.startswith("#"):
            if not equals or not name.isidentifier():
                raise ParameterError(f"{path.name}, line {number}, is no NAME=value.")
            secrets[name] = value
    return secrets
