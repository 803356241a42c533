"""Who looks on: a kernel that may ask back has a person, papermill and nbval have none."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from cloudarb_lib.base import audience, progress


@pytest.fixture
def kernel(monkeypatch):
    """A kernel, as IPython would have one, that lets a cell ask back or not."""
    import IPython

    served = SimpleNamespace(_allow_stdin=False)
    monkeypatch.delenv(audience.DASHBOARD_VARIABLE, raising=False)
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=served))
    return served


def test_a_script_has_no_person():
    assert not audience.is_person()


def test_a_kernel_that_may_ask_back_has_one_and_a_batch_kernel_none(kernel):
    assert not audience.is_person()
    kernel._allow_stdin = True
    assert audience.is_person()


def test_a_dashboard_has_one(kernel, monkeypatch):
    monkeypatch.setenv(audience.DASHBOARD_VARIABLE, "/")
    assert audience.is_person()


def test_a_person_sees_a_bar_that_goes_when_all_is_done(kernel, monkeypatch):
    kernel._allow_stdin = True
    monkeypatch.setattr(progress, "BAR_AFTER_S", 0.0)
    page = io.StringIO()
    monkeypatch.setattr("sys.stdout", page)
    assert list(progress.progress(range(3), "look back", unit="step")) == [0, 1, 2]
    assert "look back" in page.getvalue()
    assert page.getvalue().endswith("\r")  # wiped


def test_a_listener_is_told_instead():
    told = []
    with progress.told_to(lambda *said: told.append(said)):
        assert list(progress.progress("ab", "score")) == ["a", "b"]
    assert told == [("score", 0, 2), ("score", 1, 2), ("score", 2, 2)]
    list(progress.progress("ab", "score"))
    assert len(told) == 3
