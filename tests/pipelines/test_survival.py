"""Runs survive what befalls them: kills, a full disk, folders that cannot be written, odd names."""

import errno
import json
import os
import shutil
import signal
from pathlib import Path
from unittest.mock import patch

import psutil
import pytest
import time_machine

from cloudarb_lib.store import open_snapshot
from pipelines.run import pipeline
from pipelines.testing import finish, manifest, project, quick_runs, start, toy_stage

pytestmark = pytest.mark.slow

NOON = "2026-05-01T12:00:00+00:00"
FIRST, LAST = "01_explore_prices", "05_summary"
TWO_STAGES = f"""
from pipelines.run.stages import STAGES, Stage
for name in list(STAGES):
    if name not in ({FIRST!r}, {LAST!r}):
        del STAGES[name]
STAGES[{LAST!r}] = Stage(title="Summary", after=({FIRST!r},), tables=("lookback",))
"""


def named_snakemake(process: psutil.Process) -> bool:
    return "snakemake" in process.cmdline() and "pipelines.run.notebook" not in process.cmdline()


@pytest.mark.long
@pytest.mark.chaos("kill", "run")
@pytest.mark.kernel
def test_a_kernel_that_died_is_started_again_and_a_killed_graph_taken_up(tmp_path, monkeypatch):
    """In a folder with a space, umlauts and a percent sign, far from UTC."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    root = project(tmp_path / "Büro 100% groß")
    mark = root / "died"
    dies_once = (
        "import os, pathlib\n"
        f"mark = pathlib.Path({str(mark)!r})\n"
        "if not mark.exists():\n    mark.touch()\n    os.kill(os.getpid(), 9)"
    )
    toy_stage(root, FIRST, dies_once)
    toy_stage(root, LAST, "import time\ntime.sleep(120)")
    running = start(root, before=TWO_STAGES)
    said = ""
    for line in running.stdout:
        said += line
        if f"{LAST}          started" in line:
            break
    children = psutil.Process(running.pid).children(recursive=True)
    for graph in filter(named_snakemake, children):
        graph.send_signal(signal.SIGKILL)
    said += running.communicate(timeout=60)[0]
    assert f"{FIRST}   once more: the kernel died" in said
    assert running.returncode == 6, said
    told = manifest(root)
    assert told["status"] == "failed"
    assert told["notebooks"][FIRST]["attempts"] == 2
    assert told["notebooks"][LAST]["status"] == "stopped"
    (run_dir,) = (root / "reports").glob("toy-*")
    assert not (run_dir / f"{LAST}.html").exists(), "no page of half a notebook"
    assert f"/{LAST}.html" not in (root / "reports/index.html").read_text()
    assert not [p for p in children if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    toy_stage(root, LAST)
    code, said = finish(root, before=TWO_STAGES)
    assert code == 0, said
    assert f"{FIRST}   started" not in said
    assert f"{LAST}          last time: running" in said
    assert manifest(root)["started_at"].endswith("+00:00")
    assert (run_dir / f"{LAST}.html").exists()


@pytest.fixture
def root(tmp_path):
    return project(tmp_path)


@pytest.mark.chaos("full disk", "run")
def test_a_full_disk_leaves_no_part_of_a_snapshot(root, capsys, monkeypatch):
    def no_link(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with quick_runs(root) as run, patch.object(pipeline.os, "link", no_link):
        with patch.object(shutil, "copyfile", full):
            assert run() == 6
        said = capsys.readouterr().err
        assert "could not be written: No space left on device. Way out: Make room" in said
        (snapshot,) = (root / "reports").glob("*/snapshot")
        assert not list(snapshot.rglob("*.duckdb"))
        assert run() == 0
        with open_snapshot(snapshot) as pinned, open_snapshot() as ours:
            assert pinned.digest == ours.digest


@pytest.mark.chaos("full disk", "run")
@pytest.mark.parametrize("step", ["export", "write_index"])
def test_a_disk_that_fills_up_at_the_end_leaves_no_half_report(root, step, capsys):
    from pipelines.report import pages

    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    # notebooks are done the second time, and no clock tells their two statuses apart
    with quick_runs(root) as run, patch("pipelines.testing.now", return_value=NOON):
        with patch.object(pages, step, side_effect=full):
            assert run() == 6
        assert "No space left on device" in capsys.readouterr().err
        assert not (root / "reports/index.html").exists()
        told = manifest(root)
        assert (told["status"], "drawn_by" in told) == (
            "running" if step == "export" else "succeeded",
            False,
        )
        assert run() == 0
        assert "nothing to do" not in capsys.readouterr().out
        assert run() == 0
        assert "nothing to do" in capsys.readouterr().out
    assert manifest(root)["status"] == "succeeded"
    (page,) = (root / "reports").glob("*/index.html")
    assert f"{page.parent.name}/index.html" in (root / "reports/index.html").read_text()


def test_pages_that_were_removed_are_drawn_again(root):
    with quick_runs(root) as run, patch("pipelines.testing.now", return_value=NOON):
        assert run() == 0
        for lost in ("toy-*/index.html", "index.html"):
            (page,) = (root / "reports").glob(lost)
            page.unlink()
            assert run() == 0
            assert page.exists()


@pytest.mark.chaos("clock jump", "run")
@pytest.mark.parametrize("jump", ["2025-05-01", "2027-05-01"])
def test_a_clock_that_jumps_hides_no_run(root, jump):
    with quick_runs(root) as run, time_machine.travel("2026-05-01T12:00Z", tick=True) as clock:
        assert run() == 0
        clock.move_to(f"{jump}T12:00Z")
        assert run("--set", "seed=5") == 0
        told = [json.loads(p.read_text()) for p in (root / "reports").glob("*/manifest.json")]
    assert [each["status"] for each in told] == ["succeeded"] * 2
    assert all(each["seconds"] >= 0 for each in told)
    index = (root / "reports/index.html").read_text()
    assert all(each["run_id"] in index for each in told)


@pytest.mark.parametrize("reports", ["/proc/reports", "/dev/null/reports"])
def test_a_folder_that_cannot_be_written_is_told_before_anything_runs(root, reports, capsys):
    with quick_runs(root) as run, patch("pipelines.run.graph.carry_out") as started:
        assert run("--reports", reports) == 2
    assert not started.called
    said = capsys.readouterr().err
    assert "cannot be written" in said
    assert "Way out: Name another folder." in said
