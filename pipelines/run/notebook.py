"""Runs one notebook of a run, through papermill, so that its exit code tells what happened.

NOTEBOOK runs in a folder of its own (DIR/.work-...), which holds the tables of the notebooks
named by --after and, as DIR/snapshot, the store's snapshot that the run is pinned to. On success
its new tables and the executed notebook are renamed into DIR/tables and DIR/notebooks; otherwise
nothing there changes and the notebook, as far as it came, is kept in DIR/failed.
DIR/logs/NAME.json says how it went.

exit codes: 0 done; 2 bad parameters, nothing was started; 7 no plan keeps every limit; 10 a cell
raised; 11 out of time (wall clock of the whole notebook); 12 the kernel died, most often for want
of memory; 130 stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cloudarb_lib.base.errors import CloudArbError, InfeasibleError, ParameterError
from cloudarb_lib.base.files import locked
from pipelines.exit_codes import DEAD_KERNEL, DONE, NOTEBOOK_ERROR, STOPPED, TIMEOUT
from pipelines.observe.tracing import SPANS, recorded
from pipelines.run import reuse
from pipelines.run.config import SET_BY_RUN, check_parameters, declared_parameters
from pipelines.run.files import read_json, scrub, write_json, write_text
from pipelines.run.owner import OWNER, is_gone

EXTENSION = ["--IPKernelApp.extensions=pipelines.observe.tracing"]
"""Has the kernel of a run that is traced record its cells."""
_LOOK_EVERY_S = 0.2
_GRACE_S = 5.0
"""Seconds between the interrupt of a kernel that is out of time and its end."""


class KernelWatch:
    """Ends a kernel that is out of time, or that nobody waits for any more.

    Out of time, it is interrupted first, so that the notebook shows where it stood; then its whole
    process group is killed. Works by the process's timer and signals, so one at a time, in the
    main thread.

    Attributes
    ----------
    code : int
        The exit code for why the kernel was ended; 0 where it was not.
    kernel : AsyncKernelManager or None
        The kernel, once there is one.
    """

    def __init__(self, timeout_s: float) -> None:
        self.code = DONE
        self.kernel: Any = None
        self._end = time.monotonic() + timeout_s
        self._owner = os.environ.get(OWNER, "")

    def __enter__(self) -> KernelWatch:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, _LOOK_EVERY_S, _LOOK_EVERY_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> bool:
        """Signal the kernel's process group; False where no kernel runs yet or any more."""
        pid = getattr(self.kernel and self.kernel.provisioner, "pid", None)
        with contextlib.suppress(ProcessLookupError):
            if pid:
                os.killpg(pid, number)
                return True
        return False

    def _stop(self, *_: object) -> None:
        self.code = STOPPED
        if not self._signal(signal.SIGKILL):
            raise KeyboardInterrupt

    def _look(self, *_: object) -> None:
        over_s = time.monotonic() - self._end
        # before there is a kernel, an interrupt in the middle of an import would change the code
        if self.kernel and is_gone(self._owner):
            self._stop()
        elif over_s > _GRACE_S or (over_s > 0 and not self.code):
            self.code = self.code or TIMEOUT
            self._signal(signal.SIGKILL if over_s > _GRACE_S else signal.SIGINT)


def execute(notebook: Path, output: Path, parameters: dict[str, Any], watch: KernelWatch) -> None:
    """Run a notebook by papermill, in the folder of ``output``; raises what papermill raises.

    The kernel is this very Python (whatever other kernel named python3 a user may have), and
    talks over sockets in a private folder: no port is opened.
    """
    import papermill
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    with tempfile.TemporaryDirectory(prefix="cloudarb-") as private:
        sockets = {
            "transport": "ipc",
            "ip": f"{private}/kernel",
            "connection_file": f"{private}/kernel.json",
        }

        class PrivateKernel(AsyncKernelManager):
            def __init__(self, **kwargs: Any) -> None:
                no_other_kernels = KernelSpecManager(kernel_dirs=[])
                super().__init__(**kwargs, **sockets, kernel_spec_manager=no_other_kernels)
                watch.kernel = self

        papermill.execute_notebook(
            notebook,
            output,
            parameters=parameters,
            progress_bar=False,
            cwd=output.parent,
            kernel_manager_class=PrivateKernel,
            kernel_name="python3",
            extra_arguments=EXTENSION if os.environ.get(SPANS) else [],
        )


@dataclass(frozen=True)
class Outcome:
    """How a notebook ended: exit code, and a sentence where it did not succeed."""

    code: int = DONE
    error: str = ""

    @property
    def status(self) -> str:
        """The word for it in manifests."""
        return {DONE: "succeeded", STOPPED: "stopped"}.get(self.code, "failed")


def run_notebook(
    notebook: Path,
    run_dir: Path,
    parameters: dict[str, Any],
    *,
    timeout_s: float,
    after: Sequence[str] = (),
    key: str = "",
) -> dict[str, Any]:
    """Run a notebook into the folder of a run, or take over what another run made of the same.

    Parameters
    ----------
    notebook : Path
        The notebook; its file stays as it is.
    run_dir : Path
        Folder of the run, which gets notebook, tables and log.
    parameters : dict
        Values for what its parameters cell declares.
    timeout_s : float
        Seconds of wall clock allowed to the whole notebook.
    after : sequence of str
        Notebooks whose tables it may read, as names or paths.
    key : str
        Names what its results rest on: those of another run with the same key are taken over, and
        while another run makes them we wait. '': it is run in any case.

    Returns
    -------
    dict
        Its status, as logs/NAME.json keeps it.

    Raises
    ------
    ParameterError
        Where the parameters do not fit the notebook; nothing is written then.
    """
    checked = _checked(parameters, notebook, run_dir)
    before = [Path(earlier).stem for earlier in after]
    status = {"parameters": checked, "after": before, "key": key}
    if not key:
        return _run(notebook, run_dir, status, timeout_s)
    lock = run_dir.parent / ".state" / "keys" / key
    with locked(lock, ParameterError, f"notebook {notebook.stem}", wait=True):
        taken = reuse.take_over(run_dir, notebook.stem, key)
        if taken is None:
            return _run(notebook, run_dir, status, timeout_s)
    taken |= status | {"started_at": now(), "finished_at": now()}
    write_json(run_dir / "logs" / f"{notebook.stem}.json", taken)
    print(f"  {notebook.stem:<20}as in {taken['taken_from']}", flush=True)
    return taken


def _run(notebook: Path, run_dir: Path, given: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Run a notebook; return its status, to which ``given`` belongs."""
    began = time.monotonic()
    status = {**given, "status": "running", "started_at": now()}
    log = run_dir / "logs" / f"{notebook.stem}.json"
    write_json(log, status)
    print(f"  {notebook.stem:<20}started", flush=True)
    with tempfile.TemporaryDirectory(
        prefix=".work-", dir=run_dir, ignore_cleanup_errors=True
    ) as folder:
        workplace = Path(folder)
        local_names = {workplace: ".", notebook.parent: "notebooks"}
        executed = workplace / "notebooks" / notebook.name
        _lay_out(workplace, run_dir, status["after"])
        outcome = _executed(notebook, executed, status["parameters"], timeout_s)
        if outcome.code == DEAD_KERNEL:  # memory may be there by now; an error would come again
            print(f"  {notebook.stem:<20}once more: {outcome.error}", flush=True)
            status["attempts"] = 2
            outcome = _executed(notebook, executed, status["parameters"], timeout_s)
        if outcome.code == DONE:
            status["tables"] = _publish_tables(workplace, run_dir)
            (run_dir / "failed" / notebook.name).unlink(missing_ok=True)
        if executed.exists() and outcome.code != STOPPED:
            place = run_dir / ("failed" if outcome.code else "notebooks") / notebook.name
            write_text(place, scrub(executed.read_text(encoding="utf-8"), local_names))
    status |= {
        "status": outcome.status,
        "exit_code": outcome.code,
        "error": scrub(outcome.error, local_names),
        "finished_at": now(),
        "seconds": round(time.monotonic() - began, 2),
    }
    write_json(log, status)
    print(f"  {notebook.stem:<20}{status['status']} after {status['seconds']:.1f} s", flush=True)
    return status


def now() -> str:
    """Return the time, in UTC, as manifests have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _checked(parameters: dict[str, Any], notebook: Path, run_dir: Path) -> dict[str, Any]:
    """Return the parameters as the notebook takes them, those that the run sets included."""
    declared = declared_parameters(notebook)
    open_to_all = {name: p for name, p in declared.items() if name not in SET_BY_RUN}
    values = check_parameters(parameters, open_to_all)
    set_by_run = {
        "run_dir": "..",
        "store_dir": "../snapshot" if (run_dir / "snapshot").is_dir() else "",
    }
    return values | {name: value for name, value in set_by_run.items() if name in declared}


def _lay_out(workplace: Path, run_dir: Path, after: Sequence[str]) -> None:
    """Make the folder the notebook runs in, with links to the tables it may read."""
    for folder in ("tables", "notebooks"):
        (workplace / folder).mkdir()
    (workplace / "snapshot").symlink_to("../snapshot")
    for earlier in after:
        status = read_json(run_dir / "logs" / f"{earlier}.json") or {}
        for table in status.get("tables", []):
            file = f"tables/{table}.parquet"
            (workplace / file).symlink_to(run_dir / file)


def _executed(
    notebook: Path, output: Path, parameters: dict[str, Any], timeout_s: float
) -> Outcome:
    """Execute the notebook under watch, and say how it ended."""
    with KernelWatch(timeout_s) as watch:
        try:
            with recorded(f"notebook {notebook.stem}"):
                execute(notebook, output, parameters, watch)
        except (Exception, KeyboardInterrupt) as fault:
            return _failure(fault, watch.code, timeout_s)
    return Outcome()


def _failure(fault: BaseException, ended_by_watch: int, timeout_s: float) -> Outcome:
    """Return the exit code for what ended a notebook, and a sentence."""
    cell = getattr(fault, "exec_count", None)
    where = f" (in [{cell}])" if cell else ""
    if ended_by_watch == STOPPED or isinstance(fault, KeyboardInterrupt):
        return Outcome(STOPPED, "stopped from outside.")
    if ended_by_watch == TIMEOUT:
        return Outcome(TIMEOUT, f"not done after {timeout_s:g} s, stopped{where}.")
    kind = type(fault).__name__
    if kind == "DeadKernelError" or re.match("Kernel (died|didn't respond)", str(fault)):
        return Outcome(DEAD_KERNEL, "the kernel died; most often the machine ran out of memory.")
    name = getattr(fault, "ename", kind)
    message = getattr(fault, "evalue", fault)
    if name == InfeasibleError.__name__:  # an answer, not a mistake: which limit is in the way
        return Outcome(InfeasibleError.exit_code, str(message))
    return Outcome(NOTEBOOK_ERROR, f"{name}: {message}{where}")


def _publish_tables(workplace: Path, run_dir: Path) -> list[str]:
    """Rename the tables that the notebook wrote into the run folder; return their names."""
    (run_dir / "tables").mkdir(parents=True, exist_ok=True)
    written = sorted(
        table for table in (workplace / "tables").glob("*.parquet") if not table.is_symlink()
    )
    for table in written:
        os.replace(table, run_dir / "tables" / table.name)
    return [table.stem for table in written]


def main(arguments: list[str] | None = None) -> int:
    """Run one notebook as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(
        "pipelines.run.notebook",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--run-dir", type=Path, required=True, metavar="DIR")
    parser.add_argument("--parameters", type=Path, help="a file with a JSON object; default: none")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds (default 300)")
    parser.add_argument("--key", default="", help="names what its results rest on")
    parser.add_argument("--after", nargs="*", default=[], help="notebooks whose tables it may read")
    given = parser.parse_args(arguments)
    notebook = given.notebook.absolute()
    try:
        parameters = read_json(given.parameters) if given.parameters else {}
        if parameters is None:
            raise ParameterError(f"{given.parameters} holds no JSON object.")
        status = run_notebook(
            notebook,
            given.run_dir.absolute(),
            parameters,
            timeout_s=given.timeout,
            after=given.after,
            key=given.key,
        )
    except CloudArbError as fault:
        print(f"{notebook.name}: {fault}", file=sys.stderr)
        return fault.exit_code
    print(status["error"], file=sys.stderr)
    return int(status["exit_code"])


if __name__ == "__main__":
    sys.exit(main())
