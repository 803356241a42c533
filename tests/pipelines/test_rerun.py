"""A run made once more: equal tables are proven, and what differs is listed."""

import json
import re

import pandas as pd
import pytest

from cloudarb_lib.store import open_snapshot
from pipelines import cli
from pipelines.run import rerun as made_again
from pipelines.run.manifest import changed_parts
from pipelines.run.rerun import compared, difference
from pipelines.testing import past_run, project, quick_runs, toy_stage


@pytest.fixture
def root(tmp_path):
    return project(tmp_path)


def run_and_fill(run, root) -> str:
    assert run("--set", "seed=5") == 0
    (run_dir,) = (root / "reports").glob("toy-*")
    for path in (run_dir / "tables").glob("*.parquet"):
        pd.DataFrame({"x": [1.0]}).to_parquet(path)
    return run_dir.name


@pytest.mark.slow
def test_a_run_is_made_again_from_what_it_kept(root, capsys, monkeypatch):
    with quick_runs(root) as run:
        run_id = run_and_fill(run, root)
        again = root / "reports/.state/reruns" / run_id / run_id
        monkeypatch.setattr(pd, "read_parquet", lambda path: pd.DataFrame({"x": [1.0]}))
        words = ["rerun", run_id, "--reports", str(root / "reports")]
        assert cli.main(words) == 0
        assert re.search(r"\n(\d+) of \1 tables are equal", capsys.readouterr().out)
        manifest = json.loads((again / "manifest.json").read_text())
        assert manifest["config"] == {"as_of": "2026-04-29", "seed": 5}
        with open_snapshot(again / "snapshot") as restored, open_snapshot() as ours:
            assert restored.digest == ours.digest
        toy_stage(root, "02_train_ensemble", "1 + 1")
        seen = iter(range(100))
        monkeypatch.setattr(pd, "read_parquet", lambda path: pd.DataFrame({"x": [next(seen)]}))
        assert cli.main(words) == 14
        said = capsys.readouterr().out
        assert "plan: x in 1 of 1 rows" in said
        assert "02_train_ensemble rests on other things now: the notebook" in said
        index = (root / "reports/index.html").read_text()
        assert index.count(f'href="{run_id}/index.html"') == 1, "no report of its own"


def test_what_cannot_be_made_again_is_told(root, capsys):
    past_run(root, "weekly-1", "2026-01-01T00:00:00+00:00", {}, status="failed")
    words = ["--reports", str(root)]
    assert cli.main(["rerun", "weekly-2", *words]) == 2
    assert "no run 'weekly-2' (did you mean 'weekly-1'?)" in capsys.readouterr().err
    assert cli.main(["rerun", "weekly-1", *words]) == 2
    assert "run weekly-1 failed: it has no tables" in capsys.readouterr().err
    assert cli.main(["rerun", "../weekly-1", *words]) == 2


FRAME = pd.DataFrame({"x": [1.0, 2.0, None], "name": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (FRAME.copy(), ""),
        (FRAME.assign(x=[1.0, 2.0 + 2e-9, None]), "x in 1 of 3 rows, by 1.0e-09 of its value"),
        (FRAME.assign(name=["a", "c", "c"]), "name in 1 of 3 rows"),
        (FRAME.assign(x=[1.0, 2.0, 3.0]), "x in 1 of 3 rows"),
        (FRAME.head(2), "3 rows are 2 now"),
        (FRAME.rename(columns={"x": "y"}), "columns x, name are y, name now"),
        (FRAME.astype({"name": "category"}), "types of columns"),
    ],
)
def test_how_tables_differ(after, told):
    said = difference(FRAME, after)
    assert said.startswith(told)
    assert bool(said) == bool(told)


def test_a_table_that_one_run_lacks_is_told(tmp_path):
    for folder, name in [("a", "both"), ("b", "both"), ("a", "first"), ("b", "second")]:
        path = tmp_path / folder / "tables" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        FRAME.to_parquet(path)
    assert compared(tmp_path / "a", tmp_path / "b") == {
        "both": "",
        "first": "only the first run has it",
        "second": "only this one has it",
    }


def test_packages_that_changed_are_named():
    earlier = {"notebooks": {}, "packages": {"numpy": "1", "pandas": "2"}}
    now = {"notebooks": {}, "packages": {"numpy": "2", "pandas": "2"}}
    assert changed_parts(earlier, now) == {"every notebook": ["package numpy"]}


def test_tables_that_the_clock_cut_short_are_told(tmp_path, capsys, monkeypatch):
    ends = {"plan_frontier": "time_limit_with_plan", "plan_summary": "work limit with plan"}
    for name, end in ends.items():
        path = tmp_path / "first" / "tables" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"status": [end], "cost_usd": [1.0]}).to_parquet(path)
    timed = made_again.timed_tables(tmp_path / "first", tmp_path / "second")
    assert timed == ["plan_frontier"]
    found = made_again.Rerun(0, {"plan_frontier": "cost_usd in 1 of 1 rows"}, {}, timed)
    monkeypatch.setattr(made_again, "rerun", lambda *_, **__: found)
    assert cli.main(["rerun", "weekly-1"]) == 14
    assert "stopped by the clock, in one run or both: plan_frontier" in capsys.readouterr().out


@pytest.mark.parametrize(("run", "named"), [("before", "the first run"), ("after", "this one")])
def test_a_damaged_table_differs(tmp_path, run, named):
    folders = [tmp_path / "before", tmp_path / "after"]
    for folder in folders:
        (folder / "tables").mkdir(parents=True)
        FRAME.to_parquet(folder / "tables/plan_summary.parquet")
    assert made_again.compared(*folders) == {"plan_summary": ""}
    damaged = tmp_path / run / "tables/plan_summary.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    told = made_again.compared(*folders)["plan_summary"]
    assert told.startswith(f"that of {named} cannot be read: ")
    assert made_again.timed_tables(*folders) == []
