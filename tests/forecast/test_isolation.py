"""TensorFlow and OR-Tools in any order, in a script and a kernel; a worker that dies or hangs."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cloudarb_lib.base.errors import WorkerError
from cloudarb_lib.base.worker import Worker
from cloudarb_lib.forecast.members import lstm
from cloudarb_lib.forecast.worker import WORKER
from cloudarb_lib.testing import a_task, stepping

pytestmark = pytest.mark.fit

ROOT = Path(__file__).parents[2]
PRELUDE = f"import sys; sys.path[:0] = [{str(ROOT)!r}]"
SOLVE = """
from cloudarb_lib.testing import plan_for, work
from cloudarb_lib import allocate
assert plan_for(work()).status == "optimal"
"""
BY_OR_TOOLS = """
from cloudarb_lib.testing import plan_for, work
from cloudarb_lib import allocate
assert plan_for(work(), options=allocate.SolveOptions(solver="mathopt_gscip")).status == "optimal"
"""
FIT = """
from cloudarb_lib.testing import a_task, stepping
from cloudarb_lib.forecast.members.lstm import lstm
assert abs(lstm(a_task(stepping()))).max() > 0
"""
FORECAST = """
from cloudarb_lib.testing import a_task, stepping
from cloudarb_lib.forecast.members.lstm import lstm
# TensorFlow is there; too short to train
assert not lstm(a_task(stepping(times=30, series=3))).any()
"""
TENSORFLOW = """
import tensorflow as tf
assert float(tf.reduce_sum(tf.ones(3))) == 3
"""
WAIT = """
import time
from cloudarb_lib.forecast.worker import WORKER
print(WORKER.process.pid, flush=True)
time.sleep(60)
"""
CLEAN = """
assert "tensorflow" not in sys.modules and "ortools" in sys.modules
"""
REFUSED = """
from cloudarb_lib.base.errors import SolveError
try:
    plan_for(work(), options=allocate.SolveOptions(solver="mathopt_gscip"))
except SolveError as fault:
    assert "TensorFlow is loaded" in str(fault), fault
else:
    raise AssertionError("OR-Tools ran beside TensorFlow")
assert "ortools" not in sys.modules
"""
STORIES = {
    "forecast, then solve, then both again": [FIT, BY_OR_TOOLS, FIT, BY_OR_TOOLS, CLEAN],
    "solve, then forecast": [BY_OR_TOOLS, FORECAST, CLEAN],
    "the analyst imports tensorflow, then solves and forecasts": [
        TENSORFLOW,
        SOLVE,
        REFUSED,
        FORECAST,
        TENSORFLOW,
    ],
}
*FIRST, LAST = STORIES
"""The last has all that the others have, in one interpreter."""


def short_task(**changed):
    """Too short to train on: an answer in milliseconds once the worker is warm."""
    return a_task(stepping(times=30, series=3), **changed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "story", [*(pytest.param(story, marks=pytest.mark.long) for story in FIRST), LAST]
)
def test_any_order_in_a_fresh_interpreter(story):
    script = "\n".join([PRELUDE, *STORIES[story]])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("story", [LAST])
def test_any_order_inside_one_kernel(story, tmp_path):
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    cells = [new_code_cell(text) for text in (PRELUDE, *STORIES[story])]
    client = NotebookClient(
        new_notebook(cells=cells), timeout=300, resources={"metadata": {"path": tmp_path}}
    )
    done = client.execute()  # raises for a cell that fails, and where the kernel dies
    assert [cell.execution_count for cell in done.cells] == [*range(1, len(cells) + 1)]


def test_a_script_without_a_main_guard_is_not_run_again(tmp_path):
    script = tmp_path / "plain.py"
    script.write_text(f"print('once')\n{PRELUDE}\n{FORECAST}")
    run = [sys.executable, str(script)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.stdout == "once\n", done.stderr[-2000:]


@pytest.mark.chaos("kill", "run")
def test_a_worker_that_dies_is_told_and_replaced():
    lstm.lstm(short_task())
    first = WORKER.process
    os.kill(first.pid, signal.SIGSTOP)  # so that it cannot answer before it dies
    killer = threading.Timer(0.2, first.kill)
    killer.start()
    with pytest.raises(WorkerError, match="ended with code -9"):
        lstm.lstm(short_task())
    lstm.lstm(short_task())
    assert WORKER.process.pid != first.pid


@pytest.mark.chaos("stall", "run")
def test_a_worker_that_hangs_is_given_up_at_its_limit(monkeypatch):
    lstm.lstm(short_task())
    os.kill(WORKER.process.pid, signal.SIGSTOP)
    monkeypatch.setattr(lstm, "LIMIT_S", 0.2)
    with pytest.raises(WorkerError, match=r"did not answer within 0.2 s"):
        lstm.lstm(short_task())
    assert WORKER.process is None


def test_an_error_there_comes_back_with_its_words_and_the_worker_lives():
    lstm.lstm(short_task())
    before = WORKER.process.pid
    with pytest.raises(WorkerError, match=r"in the TensorFlow worker: .*must go forward"):
        lstm.lstm(short_task(origins=np.array([25, 22])))
    assert not lstm.lstm(short_task()).any()
    assert WORKER.process.pid == before


def test_a_worker_that_cannot_start_says_why(monkeypatch):
    broken = Worker("worker")
    monkeypatch.setattr(sys, "path", ["/nowhere"])
    with pytest.raises(WorkerError, match="ended with code 1: ModuleNotFoundError"):
        broken.call(lstm.fit_predict, short_task(), limit_s=30)


def test_no_worker_outlives_a_killed_parent():
    code = f"{PRELUDE}\n{FORECAST}\n{WAIT}"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    for _ in range(100):
        if is_gone := _is_gone(child):
            break
        time.sleep(0.1)
    if not is_gone:
        os.kill(child, signal.SIGKILL)
    assert is_gone


def _is_gone(process: int) -> bool:
    """Whether a process has ended, perhaps without having been waited for."""
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().split()[2] == "Z"
