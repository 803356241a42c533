"""Who looks on: a kernel that may ask back has a person, papermill and nbval have none."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from cloudarb_lib.base import audience, progress


@pytest.fixture
def served(monkeypatch):
    """Stands in for IPython's kernel, one that lets a cell ask back or does not."""
    import IPython

    monkeypatch.delenv(audience.DASHBOARD_VARIABLE, raising=False)

    def by(**kernel):
        shell = SimpleNamespace(kernel=SimpleNamespace(**kernel))
        monkeypatch.setattr(IPython, "get_ipython", lambda: shell)

    return by


def test_a_script_has_no_person():
    assert not audience.is_person()


def test_a_kernel_that_may_ask_back_has_one_and_a_batch_kernel_none(served):
    served(_allow_stdin=False)
    assert not audience.is_person()
    served(_allow_stdin=True)
    assert audience.is_person()


def test_a_dashboard_has_one(served, monkeypatch):
    served(_allow_stdin=False)
    monkeypatch.setenv(audience.DASHBOARD_VARIABLE, "/")
    assert audience.is_person()


def test_a_person_sees_a_bar_that_goes_when_all_is_done(served, monkeypatch):
    served(_allow_stdin=True)
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
