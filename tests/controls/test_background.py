"""Work in the background: the newest question counts, a stop leaves the best so far."""

from __future__ import annotations

import queue
import time

import pytest

from cloudarb_lib.base.worker import Worker
from cloudarb_lib.controls import background as module
from cloudarb_lib.controls.background import Background, Listener
from cloudarb_lib.testing import workers

WAIT_S = 60.0


@pytest.fixture(scope="module")
def worker():
    one = Worker("worker", workers.started)
    yield one
    one.close()


class Told(queue.Queue):
    """What a listener was told, as (kind, what)."""

    def listener(self):
        def teller(kind):
            return lambda said: self.put((kind, said))

        return Listener(teller("progress"), teller("result"), teller("ended"))

    def next(self):
        return self.get(timeout=WAIT_S)

    def until(self, kind):
        while (told := self.next())[0] != kind:
            pass
        return told[1]


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def background(worker, told):
    return Background(worker, told.listener())


def test_progress_and_result_are_told(background, told):
    background.ask(workers.tell, [1, 2])
    assert [told.next() for _ in range(3)] == [
        ("progress", 1),
        ("progress", 2),
        ("result", "set up"),
    ]
    assert background.wait(WAIT_S)


def test_a_stop_leaves_the_best_so_far(background, told):
    background.ask(workers.count_until_stopped)
    told.until("progress")
    background.stop()
    assert told.until("result") >= 1


def test_a_stop_without_anything_found_says_so(background, told):
    background.ask(workers.sleep_for, 60.0)
    told.until("progress")
    background.stop()
    assert told.until("ended") == "Stopped."


def test_a_newer_question_takes_the_place_of_an_older_one(background, told):
    background.ask(workers.count_until_stopped)
    told.until("progress")
    background.ask(workers.tell, ["new"])
    assert told.until("result") == "set up"  # the count is told to nobody
    assert background.wait(WAIT_S)
    assert told.empty()


def test_the_older_answers_before_the_newer_is_handed_over(background, told, monkeypatch):
    interrupt = background.worker.interrupt

    def interrupt_and_dwell():
        interrupt()
        time.sleep(0.5)

    monkeypatch.setattr(background.worker, "interrupt", interrupt_and_dwell)
    background.ask(workers.count_until_stopped)
    told.until("progress")
    background.ask(workers.tell, ["new"])
    assert told.until("result") == "set up"  # the count is told to nobody


@pytest.mark.slow
def test_what_heeds_no_stop_is_ended_with_its_process(background, told, monkeypatch):
    monkeypatch.setattr(module, "GRACE_S", 0.1)
    background.ask(workers.go_on_whatever_comes)
    told.until("progress")
    background.stop()
    assert "ended with code -9" in told.until("ended")
    background.ask(workers.tell, [])
    assert told.until("result") == "set up"


def test_a_stop_before_it_began_is_told(background, told):
    background.ask(workers.count_until_stopped)
    told.until("progress")
    background.ask(workers.sleep_for, 60.0)
    background.stop()
    assert told.until("ended") == "Stopped."
    assert background.wait(WAIT_S)


@pytest.mark.slow
def test_an_error_comes_in_words_and_the_next_question_is_answered(background, told):
    background.ask(workers.refuse)
    assert told.until("ended") == "in the worker: ValueError: it is refused"
    background.ask(workers.tell, [])
    assert told.until("result") == "set up"


@pytest.mark.slow
def test_controls_made_anew_end_the_process_of_those_before(told):
    first = Background(Worker("planner of a test", workers.started), told.listener())
    first.ask(workers.tell, [])
    assert told.until("result") == "set up"
    process = first.worker.process
    Background(Worker("planner of a test", workers.started), told.listener())
    assert process.poll() is not None


@pytest.mark.slow
def test_a_listener_that_fails_is_told_of_it(worker, told):
    listener = told.listener()
    broken = Listener(listener.progress, lambda out: 1 / 0, listener.ended)
    background = Background(worker, broken)
    background.ask(workers.tell, [])
    assert told.until("ended") == "ZeroDivisionError: division by zero"
