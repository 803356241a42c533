"""A worker process: progress, a stop that leaves what there is, a fresh one after a loss."""

from __future__ import annotations

import threading
import time

import pytest

from cloudarb_lib.base.errors import WorkerError, WorkerStopped
from cloudarb_lib.base.worker import Worker, report
from cloudarb_lib.testing.workers import (
    count_until_stopped,
    ignore_the_end,
    sleep_for,
    started,
    tell,
)

pytestmark = pytest.mark.slow

LIMIT_S = 60.0


@pytest.fixture(scope="module")
def worker():
    one = Worker("worker", started)
    yield one
    one.close()


def stopping(worker, on_progress=lambda said: None):
    """Return a callback that stops the worker at the first sign of life."""

    def stop(said):
        on_progress(said)
        worker.interrupt()

    return stop


def test_a_call_gets_what_setup_made_and_tells_how_far_it_is(worker):
    said = []
    out = worker.call(tell, [1, 2, 3], limit_s=LIMIT_S, on_progress=said.append)
    assert (out, said) == ("set up", [1, 2, 3])


def test_a_stopped_call_hands_over_the_best_so_far(worker):
    found = worker.call(count_until_stopped, limit_s=LIMIT_S, on_progress=stopping(worker))
    assert found >= 1


def test_a_stopped_call_without_a_result_says_so_and_the_process_lives(worker):
    first = worker.process.pid
    with pytest.raises(WorkerStopped, match="the worker was stopped"):
        worker.call(sleep_for, 60.0, limit_s=LIMIT_S, on_progress=stopping(worker))
    assert worker.call(tell, [], limit_s=LIMIT_S) == "set up"
    assert worker.process.pid == first


def test_a_stop_that_comes_when_all_is_done_stops_no_later_call(worker):
    worker.call(tell, [], limit_s=LIMIT_S)
    worker.interrupt()
    assert worker.call(tell, [], limit_s=LIMIT_S) == "set up"


@pytest.mark.chaos("kill", "run")
def test_a_killed_call_ends_at_once_and_the_next_finds_a_fresh_process(worker):
    def kill(_):
        threading.Thread(target=worker.kill).start()

    began = time.monotonic()
    with pytest.raises(WorkerError, match="ended with code -9"):
        worker.call(sleep_for, 60.0, limit_s=LIMIT_S, on_progress=kill)
    assert time.monotonic() - began < 30
    assert worker.call(tell, [], limit_s=LIMIT_S) == "set up"


def test_a_process_that_will_not_end_is_killed(monkeypatch):
    monkeypatch.setattr("cloudarb_lib.base.worker.END_LIMIT_S", 0.2)
    one = Worker("worker", started)
    one.call(ignore_the_end, limit_s=LIMIT_S)
    process = one.process
    one.close()
    assert process.returncode == -9
    assert one.process is None


def test_a_report_outside_a_worker_reaches_nobody():
    assert report("anything") is None
