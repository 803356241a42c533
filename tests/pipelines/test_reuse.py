"""Only what a change touches is made again, and what another run made of the same is taken over."""

import json
import re
import threading
from pathlib import Path
from unittest.mock import patch

import pytest

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.files import locked
from pipelines import cli
from pipelines.run import notebook as runner
from pipelines.run import reuse, sets
from pipelines.run.manifest import why_again
from pipelines.run.stages import STAGES
from pipelines.testing import notebook, project, quick_runs

ONE, TWO, THREE, *_ = STAGES


def entries(**changed: str) -> dict:
    parts = ("snapshot", "figures", "environment", "code", "notebook", "demand", "parameters")
    return {
        stage: {part: changed.get(f"{stage}_{part}", "x") for part in parts} for stage in STAGES
    }


def test_a_key_is_of_all_that_results_rest_on():
    before = reuse.keys(entries())
    assert before == reuse.keys(entries())
    after = reuse.keys(entries(**{f"{ONE}_code": "y"}))
    assert {stage for stage in STAGES if before[stage] != after[stage]} == {*STAGES} - {TWO}


def test_a_run_says_why_it_makes_what_again():
    well = {stage: {"status": "succeeded"} for stage in STAGES}
    earlier, same = {"notebooks": entries()}, {"notebooks": entries()}
    assert why_again(earlier, same, well) == {}
    changed = {"notebooks": entries(**{f"{TWO}_code": "y", f"{TWO}_demand": "z"})}
    why = why_again(earlier, changed, well)
    assert why[TWO] == "changed: code of the library that it uses, the demand file"
    assert why[THREE] == "it reads what is made again: Forecast"
    assert ONE not in why
    assert why_again(earlier, same, well | {ONE: {"status": "failed"}})[ONE] == "last time: failed"
    assert why_again(earlier, same, {})[TWO] == "not run yet"


def result(reports: Path, run: str, key: str = "k", status: str = "succeeded") -> Path:
    folder = reports / run
    for name in ("logs", "tables", "notebooks"):
        (folder / name).mkdir(parents=True)
    log = {"key": key, "status": status, "tables": ["offers"]}
    (folder / f"logs/{ONE}.json").write_text(json.dumps(log))
    (folder / "tables/offers.parquet").write_text(run)
    (folder / f"notebooks/{ONE}.ipynb").write_text(run)
    return folder


def test_results_of_another_run_are_taken_over(tmp_path):
    ours = tmp_path / "toy-3"
    result(tmp_path, "toy-1", key="other")
    result(tmp_path, "toy-2", status="failed")
    assert reuse.take_over(ours, ONE, "k") is None
    result(tmp_path, "toy-4")
    taken = reuse.take_over(ours, ONE, "k")
    assert taken["taken_from"] == "toy-4"
    assert (ours / "tables/offers.parquet").read_text() == "toy-4"
    assert (ours / f"notebooks/{ONE}.ipynb").read_text() == "toy-4"


def test_results_that_are_not_whole_are_not_taken_over(tmp_path):
    (result(tmp_path, "toy-1") / "tables/offers.parquet").unlink()
    assert reuse.take_over(tmp_path / "toy-2", ONE, "k") is None


def test_a_runner_waits_for_what_another_makes(tmp_path):
    path = notebook(tmp_path / f"{ONE}.ipynb", "x: float = 1.0", "1")
    ours = tmp_path / "reports/toy-2"
    taken = []

    def run() -> None:
        taken.append(runner.run_notebook(path, ours, {}, timeout_s=5.0, key="k"))

    waiting = threading.Thread(target=run)
    with locked(tmp_path / "reports/.state/keys/k", ParameterError, "it"):
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        result(tmp_path / "reports", "toy-1")
    waiting.join(10)
    assert taken[0]["taken_from"] == "toy-1"
    assert json.loads((ours / f"logs/{ONE}.json").read_text())["status"] == "succeeded"


@pytest.fixture
def root(tmp_path):
    return project(tmp_path)


def test_a_set_is_every_combination(root):
    with quick_runs(root):
        runs = sets.variations(
            [root / "toy.yaml"], {"seed": 5}, ["budget_usd=[1, 2]", "names=[[a], [b]]"]
        )
    assert [run.changes["budget_usd"] for run in runs] == [1, 1, 2, 2]
    assert [run.changes["names"] for run in runs] == [["a"], ["b"]] * 2
    assert runs[2].name == "toy.yaml budget_usd=2 names=['a']"
    assert runs[2].changes["title"] == "Toy (budget_usd 2, names a)"
    assert 'names=["a"]' in runs[0].words


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--over", "seed=4"], "--over seed=4 is no list"),
        (["--over", "seed"], "--over 'seed' is not key=value"),
        (["--over", "seed=[]"], "is no list"),
        (["--over", "seed=[4]", "--set", "seed=3"], "--set has seed too"),
        (["--over", "seed=[4, x]"], "--over seed: .*seed is 'x'"),
        (["--over", "sede=[4]"], "--over sede: .*did you mean 'seed'"),
    ],
)
def test_a_set_that_cannot_be_starts_nothing(root, words, told, capsys):
    with quick_runs(root) as run, patch.object(sets, "run_all") as started:
        assert run(*words) == 2
    assert not started.called
    assert re.search(told, capsys.readouterr().err)


def test_runs_of_a_set_share_the_cores_and_fail_by_themselves(tmp_path, monkeypatch, capsys):
    """The command that each run starts is one that shows what it was asked."""
    stand_in = tmp_path / "python"
    stand_in.write_text('#!/bin/sh\necho "$@"\ncase "$*" in *seed=2*) exit 10;; esac\n')
    stand_in.chmod(0o755)
    monkeypatch.setattr(sets.sys, "executable", str(stand_in))
    runs = [sets.Variation(Path("toy.yaml"), {"seed": n}, ("seed",)) for n in (1, 2, 3)]
    assert sets.run_all(runs, reports=tmp_path, cores=6) == 10
    said = capsys.readouterr().out
    assert "3 runs, 3 at once" in said
    for n in (1, 2, 3):
        words = f"-m pipelines.cli run toy.yaml --set seed={n} --cores 2 --reports {tmp_path}"
        assert f"toy.yaml seed={n}: {words}" in said
    assert cli.main(["run"]) == 2
