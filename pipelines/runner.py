"""Runs one notebook of a run, through papermill, so that its exit code tells what happened.

usage: python -m pipelines.runner NOTEBOOK --run-dir DIR [--parameters FILE.json]
                                  [--timeout SECONDS] [--after NAME ...]

NOTEBOOK runs in a folder of its own (DIR/.work/...), which holds the tables of the notebooks
named by --after and, as DIR/snapshot, the store's snapshot that the run is pinned to. On success its new tables and the executed notebook are
renamed into DIR/tables and DIR/notebooks; otherwise nothing there changes and the notebook, as
far as it came, is kept in DIR/failed. DIR/logs/NAME.json says how it went.

exit codes: 0 done; 2 bad parameters, nothing was started; 10 a cell raised; 11 out of time (wall
clock of the whole notebook); 12 the kernel died, most often for want of memory; 130 stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cloudarb_lib.errors import CloudArbError, ParameterError
from pipelines.files import read_json, scrub, write_json, write_text
from pipelines.parameters import check, declared

NOTEBOOK_ERROR, TIMEOUT, DEAD_KERNEL, STOPPED = 10, 11, 12, 130
OWNER = "CLOUDARB_RUN_PID"
"""Environment variable: the process on whose behalf we run; once it is gone, we stop."""
_GRACE_S = 5.0


def skip_slow_grammar() -> None:
    """Let jsonschema do without its grammar of internationalised addresses, which no notebook
    holds: building it costs more than half of importing papermill."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


class Watch:
    """Ends a kernel that is out of time, or that nobody waits for any more, and knows why.

    An interrupt first, so that the notebook shows where it stood; then a kill of the kernel's
    whole process group.
    """

    def __init__(self, timeout_s: float) -> None:
        self.code = 0
        self.kernel: Any = None
        self._deadline = time.monotonic() + timeout_s
        self._owner = int(os.environ.get(OWNER, 0))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def __enter__(self) -> Watch:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._signal(signal.SIGKILL)

    @property
    def _running(self) -> bool:
        return bool(self.kernel and getattr(self.kernel.provisioner, "pid", None))

    def _signal(self, number: int) -> None:
        if self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.kernel.provisioner.pid, number)

    def _stop(self, *_: object) -> None:
        self.code = STOPPED
        if not self._running:
            raise KeyboardInterrupt
        self._signal(signal.SIGKILL)

    def _wait(self) -> None:
        while not self._over.wait(0.2):
            if self._owner and not Path(f"/proc/{self._owner}").exists() and Path("/proc").exists():
                self.code = STOPPED
                self._signal(signal.SIGKILL)
            elif time.monotonic() > self._deadline and self._running:
                self.code = TIMEOUT
                self._signal(signal.SIGINT)
                if not self._over.wait(_GRACE_S):
                    self._signal(signal.SIGKILL)


def execute(notebook: Path, output: Path, parameters: dict[str, object], watch: Watch) -> None:
    """Run ``notebook`` by papermill, in the folder of ``output``; raises what papermill raises.

    The kernel is this very Python (whatever other kernel named python3 a user may have), and
    talks over sockets in a private folder: no port is opened.
    """
    skip_slow_grammar()
    import papermill
    from jupyter_client.manager import AsyncKernelManager

    with tempfile.TemporaryDirectory(prefix="cloudarb-") as private:

        class PrivateKernel(AsyncKernelManager):
            def __init__(self, **kwargs: object) -> None:
                super().__init__(**kwargs)
                self.transport = "ipc"
                self.connection_file = f"{private}/kernel.json"
                self.ip = f"{private}/kernel"
                watch.kernel = self

            def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
                start = [sys.executable, "-m", "ipykernel_launcher", "-f", self.connection_file]
                return start + (extra_arguments or [])

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
    parameters: dict[str, object],
    *,
    timeout_s: float,
    after: Sequence[str] = (),
) -> int:
    """Run ``notebook`` into ``run_dir`` and return the exit code; see the module's text.

    ``parameters`` are checked against the notebook first: ParameterError, nothing written.
    """
    name = notebook.stem
    known = declared(notebook)
    given = check(parameters, known, where=notebook.name)
    pinned = (run_dir / "snapshot").is_dir()
    given |= {"run_dir": ".."} if "run_dir" in known else {}
    given |= {"store_dir": "../snapshot"} if "store_dir" in known and pinned else {}
    stage = run_dir / ".work" / f"{name}-{os.getpid()}"
    started, clock = datetime.now(UTC), time.monotonic()
    status: dict[str, object] = {"name": name, "status": "running", "pid": os.getpid()}
    status |= {"started_at": started.isoformat(timespec="seconds"), "parameters": given}
    status["after"] = [Path(earlier).stem for earlier in after]
    write_json(run_dir / "logs" / f"{name}.json", status)
    output = stage / "notebooks" / notebook.name
    local = {stage: ".", notebook.parent: "notebooks"}
    code, error = 0, None
    try:
        with Watch(timeout_s) as watch:
            upstream = _lay_out(stage, run_dir, after)
            try:
                execute(notebook, output, given, watch)
            except (Exception, KeyboardInterrupt) as fault:
                code, error = _explain(fault, watch.code, timeout_s)
        if code == 0:
            text = scrub(output.read_text(encoding="utf-8"), local)
            status["tables"] = _hand_over(stage, run_dir, upstream)
            write_text(run_dir / "notebooks" / notebook.name, text)
            (run_dir / "failed" / notebook.name).unlink(missing_ok=True)
        elif output.exists() and code != STOPPED:
            text = scrub(output.read_text(encoding="utf-8"), local)
            write_text(run_dir / "failed" / notebook.name, text)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        with contextlib.suppress(OSError):
            stage.parent.rmdir()
    words = {0: "succeeded", STOPPED: "stopped"}.get(code, "failed")
    status |= {"status": words, "exit_code": code, "seconds": round(time.monotonic() - clock, 2)}
    status |= {"error": error and scrub(error, local)}
    status["finished_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(run_dir / "logs" / f"{name}.json", status)
    return code


def _lay_out(stage: Path, run_dir: Path, after: Sequence[str]) -> set[int]:
    """Make the folder the notebook runs in; return the inodes of the tables it may read."""
    (stage / "tables").mkdir(parents=True)
    (stage / "notebooks").mkdir()
    (stage / "snapshot").symlink_to("../../snapshot")
    inodes = set()
    for earlier in after:
        for table in (read_json(run_dir / "logs" / f"{Path(earlier).stem}.json") or {}).get("tables", []):
            os.link(run_dir / "tables" / f"{table}.parquet", stage / "tables" / f"{table}.parquet")
            inodes.add((stage / "tables" / f"{table}.parquet").stat().st_ino)
    return inodes


def _hand_over(stage: Path, run_dir: Path, upstream: set[int]) -> list[str]:
    """Rename the tables that the notebook wrote into the run folder; return their names."""
    (run_dir / "tables").mkdir(parents=True, exist_ok=True)
    new = [t for t in sorted((stage / "tables").iterdir()) if t.stat().st_ino not in upstream]
    for table in new:
        os.replace(table, run_dir / "tables" / table.name)
    return [table.stem for table in new if table.suffix == ".parquet"]


def _explain(fault: BaseException, stopped: int, timeout_s: float) -> tuple[int, str]:
    """Return the exit code for what ended a notebook, and a sentence."""
    cell = getattr(fault, "cell_index", None)
    where = "" if cell is None else f" (cell {cell + 1})"
    if stopped == TIMEOUT:
        return TIMEOUT, f"not done after {timeout_s:g} s, stopped{where}."
    if stopped == STOPPED or isinstance(fault, KeyboardInterrupt):
        return STOPPED, "stopped from outside."
    kind = type(fault).__name__
    if kind == "PapermillExecutionError":
        return NOTEBOOK_ERROR, f"{fault.ename}: {fault.evalue}{where}"  # type: ignore[attr-defined]
    if kind == "DeadKernelError" or "Kernel died" in str(fault):
        return DEAD_KERNEL, "the kernel died; most often the machine ran out of memory."
    return NOTEBOOK_ERROR, f"{kind}: {fault}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m pipelines.runner",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=argparse.SUPPRESS,
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--parameters", type=Path, help="a JSON object; default: none")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds (default 300)")
    parser.add_argument("--after", nargs="*", default=[], help="notebooks whose tables it may read")
    given = parser.parse_args(arguments)
    try:
        values = read_json(given.parameters) if given.parameters else {}
        if values is None:
            raise ParameterError(f"{given.parameters} holds no JSON object.")
        code = run(
            given.notebook.absolute(),
            given.run_dir.absolute(),
            values,
            timeout_s=given.timeout,
            after=given.after,
        )
    except CloudArbError as fault:
        print(f"{given.notebook.name}: {fault}", file=sys.stderr)
        return fault.exit_code
    status = read_json(given.run_dir / "logs" / f"{given.notebook.stem}.json") or {}
    print(json.dumps({k: status.get(k) for k in ("name", "status", "seconds", "error", "tables")}))
    return code


if __name__ == "__main__":
    sys.exit(main())
