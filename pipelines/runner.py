"""Runs one notebook of a run, through papermill, and tells apart how it ended.

The notebook runs in a folder of its own (DIR/.work-...), which holds the tables it may read and, as
DIR/snapshot, the store's snapshot that the run is pinned to. On success its new tables and the executed
notebook are renamed into DIR/tables and DIR/notebooks; otherwise nothing there changes and the
notebook, as far as it came, is kept in DIR/failed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.files import scrub, write_text

NOTEBOOK_ERROR, TIMEOUT, DEAD_KERNEL, STOPPED = 10, 11, 12, 130
"""Exit codes: a cell raised; out of time (wall clock of the whole notebook); the kernel died, most
often for want of memory; stopped from outside."""
_LOOK_S, _GRACE_S = 0.2, 5.0
# jsonschema does without its grammar of internationalised addresses, which no notebook holds: building it
# costs more than half of importing papermill.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


class Watch(threading.Thread):
    """Ends a kernel that is out of time, or that is to ``stop``; ``code`` tells why, else 0.

    Out of time, it is interrupted first, so that the notebook shows where it stood; then its whole process
    group is killed. (A kernel whose parent is gone ends by itself.)
    """

    def __init__(self, timeout_s: float, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.timeout_s, self.stop, self.code = timeout_s, stop, 0
        self.kernel: Any = None
        self._done = threading.Event()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()
        self._signal(signal.SIGKILL)

    def run(self) -> None:
        end = time.monotonic() + self.timeout_s
        while not self._done.wait(_LOOK_S):
            over_s = time.monotonic() - end
            if self.stop.is_set():
                self.code = STOPPED
                self._signal(signal.SIGKILL)
            elif over_s > _GRACE_S or (over_s > 0 and not self.code):
                self.code = TIMEOUT
                self._signal(signal.SIGKILL if over_s > _GRACE_S else signal.SIGINT)

    def _signal(self, number: int) -> None:
        """Send a signal to the kernel's process group, where there is one."""
        pid = getattr(self.kernel and self.kernel.provisioner, "pid", None)
        with contextlib.suppress(ProcessLookupError):
            if pid:
                os.killpg(pid, number)


def execute(notebook: Path, output: Path, parameters: dict[str, Any], watch: Watch) -> None:
    """Run ``notebook`` by papermill, in the folder of ``output``; raises what papermill raises.

    The kernel is this very Python (whatever other kernel named python3 a user may have), and
    talks over sockets in a private folder: no port is opened.
    """
    import papermill
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    with tempfile.TemporaryDirectory(prefix="cloudarb-") as private:

        class PrivateKernel(AsyncKernelManager):
            def __init__(self, **kwargs: Any) -> None:
                super().__init__(
                    **kwargs, kernel_spec_manager=KernelSpecManager(kernel_dirs=[]), transport="ipc",
                    ip=f"{private}/kernel", connection_file=f"{private}/kernel.json",
                )  # fmt: skip
                watch.kernel = self

        # the folder goes to the kernel alone: papermill's cwd is that of our whole process
        papermill.execute_notebook(
            notebook, output, parameters=parameters, progress_bar=False, kernel_name="python3",
            kernel_manager_class=PrivateKernel, resources={"metadata": {"path": str(output.parent)}},
        )  # fmt: skip


def run(notebook: Path, run_dir: Path, parameters: dict, watch: Watch, tables: Iterable[str] = ()) -> dict:
    """Run ``notebook`` into ``run_dir``; return its status, exit code, error, seconds and new tables.

    ``parameters`` are what ``config`` has checked; ``watch`` may end it before its time; ``tables`` names those
    of the run that it may read.
    """
    started_at, began, code, error, new = now(), time.monotonic(), 0, "", []
    print(f"  {notebook.stem:<20}started", flush=True)
    run_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".work-", dir=run_dir, ignore_cleanup_errors=True) as folder:
        stage = Path(folder)
        local, output = {stage: ".", notebook.parent: "notebooks"}, stage / "notebooks" / notebook.name
        for made in (stage / "tables", output.parent):
            made.mkdir()
        (stage / "snapshot").symlink_to("../snapshot")
        for name in tables:
            (stage / f"tables/{name}.parquet").symlink_to(run_dir / f"tables/{name}.parquet")
        with watch:
            try:
                execute(notebook, output, parameters, watch)
                (run_dir / "tables").mkdir(exist_ok=True)
                for table in sorted((stage / "tables").glob("*.parquet")):
                    if not table.is_symlink():
                        os.replace(table, run_dir / "tables" / table.name)
                        new.append(table.stem)
                (run_dir / "failed" / notebook.name).unlink(missing_ok=True)
            except Exception as fault:
                code, error = _explain(fault, watch)
        if output.exists() and code != STOPPED:
            place = run_dir / ("failed" if code else "notebooks") / notebook.name
            write_text(place, scrub(output.read_text(encoding="utf-8"), local))
    state, seconds = {0: "succeeded", STOPPED: "stopped"}.get(code, "failed"), time.monotonic() - began
    print(f"  {notebook.stem:<20}{state} after {seconds:.1f} s", flush=True)
    told = {"status": state, "exit_code": code, "error": scrub(error, local), "seconds": round(seconds, 2)}
    return {**told, "started_at": started_at, "finished_at": now(), "tables": new}


def now() -> str:
    """Return the time, in UTC, as manifests have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _explain(fault: Exception, watch: Watch) -> tuple[int, str]:
    """Return the exit code for what ended a notebook, and a sentence."""
    cell = getattr(fault, "exec_count", None)
    where = f" (in [{cell}])" if cell else ""
    if watch.code == STOPPED:
        return STOPPED, "stopped from outside."
    if watch.code == TIMEOUT:
        return TIMEOUT, f"not done after {watch.timeout_s:g} s, stopped{where}."
    kind = type(fault).__name__
    if kind == "DeadKernelError" or "Kernel died" in str(fault):
        return DEAD_KERNEL, "the kernel died; most often the machine ran out of memory."
    return NOTEBOOK_ERROR, f"{getattr(fault, 'ename', kind)}: {getattr(fault, 'evalue', fault)}{where}"
