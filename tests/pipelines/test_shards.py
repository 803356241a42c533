"""A forecast as jobs: whichever runs where, the tables are those of one process."""

import json
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import forecast
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.testing import panel_of_regions
from pipelines.cli import main
from pipelines.run.pipeline import RunError
from pipelines.shards import forecast as shards
from pipelines.shards import job
from pipelines.shards.panel_file import panel_digest, read_panel, write_panel

pytestmark = pytest.mark.slow

ASKED = shards.Asked(horizon_steps=4, n_paths=40, seed=3, blocks=2, shares=2)
KEY = ["offer_id", "target_utc", "quantile"]


def in_this_process(snakefile, folder, *, log, lock, cores):
    """Carry out the jobs one after the other."""
    graph = json.loads((folder / "graph.json").read_text())
    log.write_text("")
    job.main([str(folder), "models"])
    for block in range(graph["blocks"]):
        job.main([str(folder), "learn", str(block)])
    for share in graph["shares"]:
        job.main([str(folder), "shards", share])
    return 0


@pytest.fixture
def panel():
    return panel_of_regions()


def forecast_here(panel, folder, asked=ASKED):
    with patch.object(shards, "run_snakemake", in_this_process):
        return shards.forecast_in_shards(panel, folder, asked, cores=1)


def as_one(tables):
    found = pd.concat(pd.read_parquet(table).astype({"offer_id": str}) for table in tables)
    return found.sort_values(KEY).reset_index(drop=True)


def whole(panel):
    found = forecast.forecast_offers(panel, horizon_steps=4, n_paths=40, seed=3)
    return found.table.astype({"offer_id": str}).sort_values(KEY).reset_index(drop=True)


def test_tables_of_the_jobs_are_those_of_one_process(panel, tmp_path):
    tables = forecast_here(panel, tmp_path)
    names = [table.name for table in tables]
    assert names == ["aws-us%20east.parquet", "gcp-b.parquet", "gcp-c%2F1.parquet"]
    pd.testing.assert_frame_equal(as_one(tables), whole(panel), check_exact=True)


def test_a_region_that_is_no_longer_offered_leaves_no_table(panel, tmp_path):
    forecast_here(panel, tmp_path)
    price = panel.price.copy()
    price[-1, :2] = np.nan
    tables = forecast_here(replace(panel, price=price), tmp_path)
    assert sorted((tmp_path / "forecast").iterdir()) == tables
    assert "aws-us%20east.parquet" not in [table.name for table in tables]


def test_a_panel_comes_back_as_it_was(panel, tmp_path):
    write_panel(panel, tmp_path)
    found = read_panel(tmp_path)
    assert panel_digest(found) == panel_digest(panel)
    pd.testing.assert_frame_equal(found.offers, panel.offers)
    assert (found.times == panel.times).all()
    for name in ("price", "available", "state"):
        assert np.array_equal(getattr(found, name), getattr(panel, name), equal_nan=True)
    other = panel.price.copy()
    other[-1, 0] += 1e-9
    assert panel_digest(replace(panel, price=other)) != panel_digest(panel)


@pytest.mark.parametrize(
    ("changes", "fault", "said"),
    [
        ({"blocks": 0}, ParameterError, "0 blocks and 2 shares"),
        ({"n_paths": 10**8}, ParameterError, "100000000 paths of the 2 offers of aws-us%20east"),
    ],
)
def test_what_cannot_be_cut_like_that_is_refused(panel, tmp_path, changes, fault, said):
    with pytest.raises(fault, match=said):
        forecast_here(panel, tmp_path, replace(ASKED, **changes))
    with pytest.raises(DataError, match="no offer of the panel has a price"):
        forecast_here(replace(panel, price=panel.price * np.nan), tmp_path)


def test_a_job_that_failed_is_told(panel, tmp_path):
    def fails(snakefile, folder, *, log, lock, cores):
        log.write_text("one\ntwo\nthree\nfour\n")
        return 1

    with (
        patch.object(shards, "run_snakemake", fails),
        pytest.raises(RunError, match="a job of the forecast failed: two three four"),
    ):
        shards.forecast_in_shards(panel, tmp_path, ASKED, cores=1)


def test_the_verb_asks_for_what_its_options_say(tmp_path, capsys):
    asked_for = {}

    def remember(panel, folder, asked, *, cores):
        asked_for.update(offers=len(panel.offers), folder=folder, asked=asked, cores=cores)
        return []

    words = ["forecast", "--as-of", "2026-04-02", "--providers", "gcp", "--out", str(tmp_path)]
    with patch.object(shards, "forecast_in_shards", remember):
        assert main([*words, "--n-paths", "40", "--jobs", "3", "--cores", "2"]) == 0
    assert asked_for["asked"] == shards.Asked(13, 40, 7, blocks=3, shares=3)
    assert (asked_for["folder"], asked_for["cores"]) == (tmp_path, 2)
    assert f"{asked_for['offers']:,} offers, 0 tables" in capsys.readouterr().out


@pytest.mark.long
def test_the_graph_is_carried_out_and_taken_up(panel, tmp_path):
    folder = tmp_path / "Büro 100%"
    tables = shards.forecast_in_shards(panel, folder, ASKED, cores=2)
    pd.testing.assert_frame_equal(as_one(tables), whole(panel), check_exact=True)
    tables[0].unlink()
    learned = {file: file.stat().st_mtime_ns for file in (folder / "learned").iterdir()}
    assert shards.forecast_in_shards(panel, folder, ASKED, cores=1) == tables
    pd.testing.assert_frame_equal(as_one(tables), whole(panel), check_exact=True)
    assert {file: file.stat().st_mtime_ns for file in learned} == learned
