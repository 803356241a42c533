"""Notebook 06: what it writes, with figures small enough for CI; nobody else runs or imports it."""

from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.base import locations
from pipelines.run.config import load_config
from pipelines.run.notebook import run_notebook
from pipelines.run.stages import STAGES

NAME = "06_research"
SMALL = {
    "ticks_days": 35,
    "ticks_scored_days": 28,
    "tick_origins": 3,
    "origins": 3,
    "rounds": 1,
    "workloads": 1,
    "machines": [2],
    "reads": 5,
    "n_paths": 20,
}


@pytest.mark.long
@pytest.mark.kernel
def test_the_notebook_leaves_a_row_for_each_method(tmp_path):
    path = locations.notebooks() / f"{NAME}.ipynb"
    status = run_notebook(path, tmp_path, SMALL, timeout_s=600)
    assert status["error"] == ""
    assert status["tables"] == ["explanations", "methods"]
    methods = pd.read_parquet(tmp_path / "tables" / "methods.parquet")
    assert methods["verdict"].str.len().gt(10).all()
    assert len(methods) >= 8
    run = methods.dropna(subset=["its_cpu_s"])
    assert (run["its_cpu_s"] > 0).all()
    for _, row in methods[methods["measure"] == "not run"].iterrows():
        assert row["verdict"].startswith("not run: ")


def test_only_a_configuration_that_names_it_runs_it():
    research = load_config(locations.configurations() / "research.yaml")
    weekly = load_config(locations.configurations() / "weekly.yaml")
    assert list(research.parameters) == [NAME]
    assert list(weekly.parameters) == list(STAGES)
    assert research.parameters[NAME]["n_paths"] == 500


def test_nothing_of_the_product_names_it():
    root = Path(__file__).parents[2]
    modules = [*root.glob("cloudarb_lib/**/*.py"), *root.glob("pipelines/**/*.py")]
    others = [path for path in modules if "research" not in path.parts]
    notebooks = [locations.notebooks() / f"{stage}.ipynb" for stage in STAGES]
    named = [path for path in (*others, *notebooks) if "cloudarb_lib.research" in path.read_text()]
    assert named == []
    assert len(others) > 300
