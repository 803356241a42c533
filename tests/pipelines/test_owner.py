"""Whether the process that a notebook runs for has ended: known on its own machine only."""

import os
import subprocess
import sys

import pytest

from pipelines.run import owner
from pipelines.run.owner import is_gone, place, this_process


@pytest.fixture(scope="module")
def ended():
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_an_owner_of_this_machine_that_ended_is_gone(ended):
    assert is_gone(f"{place()} {ended}")
    assert not is_gone(this_process())
    assert this_process().endswith(f" {os.getpid()}")


@pytest.mark.parametrize("elsewhere", ["another-boot/pid:[1]", ""])
def test_of_an_owner_elsewhere_nothing_is_known(ended, elsewhere):
    assert not is_gone(f"{elsewhere} {ended}")
    assert not is_gone(elsewhere)


def test_another_container_of_this_machine_is_elsewhere(ended, tmp_path, monkeypatch):
    named = f"{place()} {ended}"
    namespace = tmp_path / "pid"
    namespace.symlink_to("pid:[1]")
    monkeypatch.setattr(owner, "PROCESS_IDS", namespace)
    assert not is_gone(named)
    monkeypatch.setattr(owner, "PROCESS_IDS", tmp_path / "none")
    assert place() == ""
    assert not is_gone(this_process())
