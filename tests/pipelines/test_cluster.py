"""The graph of a run through a batch queue, whose jobs `cloudarb run` does not own.

The queue is one of this machine (fixtures/batch_queue.py), driven by Snakemake's generic cluster
executor, as docs/clusters.md says for Slurm; test_slurm.py has Slurm itself.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from cloudarb_lib.testing import panel_of_regions
from pipelines.shards.forecast import Asked, forecast_in_shards
from pipelines.testing import (
    LAST_OF_THREE,
    THREE_STAGES,
    finish,
    manifest,
    start,
    tables_of,
    three_stages,
    toy_stage,
)

pytestmark = pytest.mark.kernel

QUEUE = Path(__file__).parent / "fixtures" / "batch_queue.py"
PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"


class Cluster:
    """A queue, its workers, and the profile by which Snakemake finds it."""

    def __init__(self, folder: Path) -> None:
        self.queue = folder / "queue"
        self.profile = folder / "profile"
        self.queue.mkdir(parents=True)
        self.profile.mkdir()
        words = {
            do: f"{sys.executable} -S {QUEUE} {do} {self.queue}" for do in ("submit", "status")
        }
        cancel = self.profile / "cancel"  # Snakemake takes one word for it
        cancel.write_text(f'#!/bin/sh\nexec {sys.executable} -S {QUEUE} cancel {self.queue} "$@"\n')
        cancel.chmod(0o755)
        settings = {
            "executor": "cluster-generic",
            "cluster-generic-submit-cmd": words["submit"],
            "cluster-generic-status-cmd": words["status"],
            "cluster-generic-cancel-cmd": str(cancel),
            "jobs": 2,
            "seconds-between-status-checks": 1,
        }
        (self.profile / "config.yaml").write_text(json.dumps(settings))

    @contextmanager
    def working(self, workers: int) -> Iterator[list[subprocess.Popen[str]]]:
        command = [sys.executable, "-S", str(QUEUE), "work", str(self.queue)]
        started = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(workers)
        ]
        try:
            yield started
        finally:
            (self.queue / "closed").touch()
            for worker in started:
                worker.communicate(timeout=60)
            (self.queue / "closed").unlink()

    def done(self) -> list[dict[str, int]]:
        return [json.loads(told.read_text()) for told in self.queue.glob("*.done")]


def through(monkeypatch, folder: Path, workers: int) -> tuple[dict[str, bytes], Cluster]:
    """Run a project through a queue; return its tables by name, and the queue."""
    root = three_stages(folder)
    cluster = Cluster(folder)
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(cluster.profile))
    with cluster.working(workers):
        code, said = finish(root, "--cores", "2", before=THREE_STAGES)
    assert code == 0, said
    return tables_of(root), cluster


def test_the_page_has_the_settings_that_are_tried_here(tmp_path):
    tried = json.loads((Cluster(tmp_path).profile / "config.yaml").read_text())
    page = PAGE.read_text(encoding="utf-8")
    shown = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    assert shown.keys() == tried.keys()
    assert shown["executor"] == tried["executor"]


@pytest.fixture(scope="module")
def by_one(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("one")
        yield folder, *through(patched, folder, workers=1)


@pytest.mark.long
def test_one_worker_and_two_give_the_same_tables(by_one, tmp_path, monkeypatch):
    _, tables, cluster = by_one
    assert [job["code"] for job in cluster.done()] == [0, 0, 0]
    tables_of_two, cluster_of_two = through(monkeypatch, tmp_path, workers=2)
    assert len({job["worker"] for job in cluster.done()}) == 1
    assert len({job["worker"] for job in cluster_of_two.done()}) == 2
    assert tables_of_two == tables
    assert tables["paths"].decode() in tables["lookback"].decode()


@pytest.mark.long
def test_a_forecast_in_shards_is_the_same_by_one_worker_and_by_two(tmp_path, monkeypatch):
    asked = Asked(horizon_steps=4, n_paths=40, seed=3, blocks=2, shares=2)
    found = []
    for workers in (1, 2):
        cluster = Cluster(tmp_path / str(workers))
        monkeypatch.setenv("SNAKEMAKE_PROFILE", str(cluster.profile))
        with cluster.working(workers):
            folder = tmp_path / f"forecast {workers}"
            tables = forecast_in_shards(panel_of_regions(), folder, asked, cores=2)
        assert [job["code"] for job in cluster.done()] == [0] * 5
        assert len({job["worker"] for job in cluster.done()}) == workers
        found.append({table.name: table.read_bytes() for table in tables})
    assert found[0] == found[1]


@pytest.mark.long
def test_a_run_that_is_stopped_cancels_its_jobs(by_one, monkeypatch):
    root, _, cluster = by_one
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(cluster.profile))
    toy_stage(root, LAST_OF_THREE, "import time\ntime.sleep(120)")
    with cluster.working(1) as (worker,):
        running = start(root, before=THREE_STAGES)
        for line in worker.stdout:
            if f"{LAST_OF_THREE}          started" in line:
                break
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=90)
    assert running.returncode == 130, said
    assert len(list(cluster.queue.glob("*.cancelled"))) == 1
    assert len(cluster.done()) == 4
    assert manifest(root)["notebooks"][LAST_OF_THREE]["status"] == "stopped"
