"""The doctor names the true cause of what is broken, and what mends it."""

import pytest

from cloudarb_lib.base import locations
from pipelines.cli import doctor
from pipelines.report import paper
from pipelines.run.files import write_json
from pipelines.schedule import job, timers


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("", ""),
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("import os; os.kill(os.getpid(), 11)", "ended by signal 11"),
    ],
)
def test_a_package_that_does_not_work_is_told_with_its_fault(monkeypatch, code, fault):
    monkeypatch.setattr(doctor, "SOLVES", {"solver": code})
    (found,) = doctor.solvers()
    if not fault:
        assert found == ("ok", "solver solves", "")
        return
    assert found == ("fail", f"solver solves: {fault}", doctor.INSTALL)


def test_a_schedule_that_its_timer_has_lost_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(locations, "reports", lambda: tmp_path)
    planned = job.Job("toy", "toy.yaml", (), "", 3, "mon", "06:00", "crontab")
    job.save(planned)
    monkeypatch.setattr(timers, "fault_of", lambda _: "")
    assert [level for level, _, _ in doctor.schedule()] == ["ok", "ok"]
    monkeypatch.setattr(timers, "fault_of", lambda _: "crontab does not know of it")
    write_json(job.folder() / "toy.last.json", {"codes": {"run": 10, "prune": 0}})
    lost, failed = doctor.schedule()
    assert lost[:2] == ("fail", "crontab starts schedule toy: crontab does not know of it")
    assert "cloudarb schedule install toy.yaml again" in lost[2]
    assert failed[:2] == ("warn", "last turn of schedule toy: {'run': 10}")


def test_without_a_browser_there_is_no_pdf_and_a_way_to_it(monkeypatch):
    monkeypatch.setattr(paper, "BROWSERS", ("no-such-browser",))
    ((level, what, way_out),) = doctor.browser()
    assert (level, what) == ("warn", "a browser prints PDF of summaries")
    assert "apt-get install chromium" in way_out
