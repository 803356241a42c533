"""Runs one notebook of a run, through papermill, so that its exit code tells what happened.

NOTEBOOK runs in a folder of its own (DIR/.work-...), which holds the tables of the notebooks
named by --after and, as DIR/snapshot, the store's snapshot that the run is pinned to. On success
its new tables and the executed notebook are renamed into DIR/tables and DIR/notebooks; otherwise
nothing there changes and the notebook, as far as it came, is kept in DIR/failed.
DIR/logs/NAME.json says how it went.

exit codes: 0 done; 2 bad parameters, nothing was started; 10 a cell raised; 11 out of time (wall
clock of the whole notebook); 12 the kernel died, most often for want of memory; 130 stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cloudarb_lib.base.errors import CloudArbError, ParameterError
from pipelines.config import SET_BY_RUN, check, declared
from pipelines.files import read_json, scrub, write_json, write_text

NOTEBOOK_ERROR, TIMEOUT, DEAD_KERNEL, STOPPED = 10, 11, 12, 130
OWNER = "CLOUDARB_RUN_PID"
"""Environment variable: the process on whose behalf we run; once it is gone, we stop."""
_LOOK_S, _GRACE_S = 0.2, 5.0


def skip_slow_grammar() -> None:
    """Let jsonschema do without its grammar of internationalised addresses, which no notebook
    holds: building it costs more than half of importing papermill."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


class Watch:
    """Ends a kernel that is out of time, or that nobody waits for any more; ``code`` tells why, else 0.

    Out of time, it is interrupted first, so that the notebook shows where it stood; then its whole process
    group is killed. Works by the process's timer and signals, so one at a time, in the main thread.
    """

    def __init__(self, timeout_s: float) -> None:
        self.code = 0
        self.kernel: Any = None
        self._end = time.monotonic() + timeout_s
        self._owner = Path(f"/proc/{os.environ.get(OWNER, 'self')}")

    def __enter__(self) -> Watch:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, _LOOK_S, _LOOK_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> bool:
        """Send a signal to the kernel's process group; False where no kernel runs yet or any more."""
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
        # before there is a kernel, an interrupt in the middle of an import would change the exit code
        if self.kernel and Path("/proc").exists() and not self._owner.exists():
            self._stop()
        elif over_s > _GRACE_S or (over_s > 0 and not self.code):
            self.code = self.code or TIMEOUT
            self._signal(signal.SIGKILL if over_s > _GRACE_S else signal.SIGINT)


def execute(notebook: Path, output: Path, parameters: dict[str, Any], watch: Watch) -> None:
    """Run ``notebook`` by papermill, in the folder of ``output``; raises what papermill raises.

    The kernel is this very Python (whatever other kernel named python3 a user may have), and
    talks over sockets in a private folder: no port is opened.
    """
    skip_slow_grammar()
    import papermill
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    with tempfile.TemporaryDirectory(prefix="cloudarb-") as private:
        settings = {
            "transport": "ipc",
            "ip": f"{private}/kernel",
            "connection_file": f"{private}/kernel.json",
        }

        class PrivateKernel(AsyncKernelManager):
            def __init__(self, **kwargs: Any) -> None:
                super().__init__(
                    **kwargs, **settings, kernel_spec_manager=KernelSpecManager(kernel_dirs=[])
                )
                watch.kernel = self

        papermill.execute_notebook(
            notebook,
            output,
            parameters=parameters,
            progress_bar=False,
            cwd=output.parent,
            kernel_manager_class=PrivateKernel,
            kernel_name="python3",
        )


def run(
    notebook: Path,
    run_dir: Path,
    parameters: dict[str, Any],
    *,
    timeout_s: float,
    after: Sequence[str] = (),
) -> dict[str, Any]:
    """Run ``notebook`` into ``run_dir`` and return its status, as logs/NAME.json keeps it.

    ``parameters`` are checked against the notebook first: ParameterError, nothing written.
    """
    known, began = declared(notebook), time.monotonic()
    given = check(parameters, {name: p for name, p in known.items() if name not in SET_BY_RUN})
    pinned = {
        "run_dir": "..",
        "store_dir": "../snapshot" if (run_dir / "snapshot").is_dir() else "",
    }
    given |= {name: value for name, value in pinned.items() if name in known}
    status: dict[str, Any] = {"status": "running", "started_at": now(), "parameters": given}
    status["after"] = [Path(earlier).stem for earlier in after]
    log = run_dir / "logs" / f"{notebook.stem}.json"
    write_json(log, status)
    print(f"  {notebook.stem:<20}started", flush=True)
    code, error = 0, ""
    with tempfile.TemporaryDirectory(
        prefix=".work-", dir=run_dir, ignore_cleanup_errors=True
    ) as folder:
        stage = Path(folder)
        local, output = (
            {stage: ".", notebook.parent: "notebooks"},
            stage / "notebooks" / notebook.name,
        )
        _lay_out(stage, run_dir, status["after"])
        with Watch(timeout_s) as watch:
            try:
                execute(notebook, output, given, watch)
            except (Exception, KeyboardInterrupt) as fault:
                code, error = _explain(fault, watch.code, timeout_s)
        if code == 0:
            status["tables"] = _hand_over(stage, run_dir)
            (run_dir / "failed" / notebook.name).unlink(missing_ok=True)
        if output.exists() and code != STOPPED:
            place = run_dir / ("failed" if code else "notebooks") / notebook.name
            write_text(place, scrub(output.read_text(encoding="utf-8"), local))
    status["status"] = {0: "succeeded", STOPPED: "stopped"}.get(code, "failed")
    status |= {"exit_code": code, "error": scrub(error, local), "finished_at": now()}
    status["seconds"] = round(time.monotonic() - began, 2)
    write_json(log, status)
    print(f"  {notebook.stem:<20}{status['status']} after {status['seconds']:.1f} s", flush=True)
    return status


def now() -> str:
    """Return the time, in UTC, as manifests have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _lay_out(stage: Path, run_dir: Path, after: Sequence[str]) -> None:
    """Make the folder the notebook runs in, with links to the tables it may read."""
    for folder in ("tables", "notebooks"):
        (stage / folder).mkdir()
    (stage / "snapshot").symlink_to("../snapshot")
    for earlier in after:
        for table in (read_json(run_dir / "logs" / f"{earlier}.json") or {}).get("tables", []):
            (stage / f"tables/{table}.parquet").symlink_to(run_dir / f"tables/{table}.parquet")


def _hand_over(stage: Path, run_dir: Path) -> list[str]:
    """Rename the tables that the notebook wrote into the run folder; return their names."""
    (run_dir / "tables").mkdir(parents=True, exist_ok=True)
    new = sorted(table for table in (stage / "tables").glob("*.parquet") if not table.is_symlink())
    for table in new:
        os.replace(table, run_dir / "tables" / table.name)
    return [table.stem for table in new]


def _explain(fault: BaseException, stopped: int, timeout_s: float) -> tuple[int, str]:
    """Return the exit code for what ended a notebook, and a sentence."""
    cell = getattr(fault, "exec_count", None)
    where = f" (in [{cell}])" if cell else ""
    if stopped == STOPPED or isinstance(fault, KeyboardInterrupt):
        return STOPPED, "stopped from outside."
    if stopped == TIMEOUT:
        return TIMEOUT, f"not done after {timeout_s:g} s, stopped{where}."
    kind = type(fault).__name__
    if kind == "DeadKernelError" or "Kernel died" in str(fault):
        return DEAD_KERNEL, "the kernel died; most often the machine ran out of memory."
    return (
        NOTEBOOK_ERROR,
        f"{getattr(fault, 'ename', kind)}: {getattr(fault, 'evalue', fault)}{where}",
    )


def main(arguments: list[str] | None = None) -> int:
    manual = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "pipelines.runner", description=__doc__, formatter_class=manual
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--run-dir", type=Path, required=True, metavar="DIR")
    parser.add_argument("--parameters", type=Path, help="a file with a JSON object; default: none")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds (default 300)")
    parser.add_argument("--after", nargs="*", default=[], help="notebooks whose tables it may read")
    given = parser.parse_args(arguments)
    notebook, run_dir = given.notebook.absolute(), given.run_dir.absolute()
    try:
        values = read_json(given.parameters) if given.parameters else {}
        if values is None:
            raise ParameterError(f"{given.parameters} holds no JSON object.")
        status = run(notebook, run_dir, values, timeout_s=given.timeout, after=given.after)
    except CloudArbError as fault:
        print(f"{notebook.name}: {fault}", file=sys.stderr)
        return fault.exit_code
    print(status["error"], file=sys.stderr)
    return status["exit_code"]


if __name__ == "__main__":
    sys.exit(main())
