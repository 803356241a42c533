"""The weekly configuration on the bundled history: from prices to a report that holds together.

It runs with a smaller demand, fewer draws and fewer weeks than users do: the notebooks run in full
by themselves (nbval).
"""

import json
import os
import re
import shutil
import sys
from importlib.resources import files

import pandas as pd
import pytest
import yaml

from cloudarb_lib.base import locations
from cloudarb_lib.tables.run_schema import RUN_TABLES
from cloudarb_lib.tables.validation import validate
from pipelines.cli import main
from pipelines.run.stages import STAGES

pytestmark = [pytest.mark.slow, pytest.mark.kernel, pytest.mark.members]
SMALLER = {"lookback_steps": 4, "n_paths": 100, "horizon_steps": 5}
DEMAND = """
demand:
  - {workload: train, needs: 16 H100, interruptible: yes, together: yes, in: [us-*]}
  - {workload: serve, needs: 8 A100-80GB, interruptible: no, in: [us-*]}
"""
TABLES = [table for stage in STAGES.values() for table in stage.tables]
EMPTY_ON_LISTS = ("weights", "gates")
"""Tables of the ensemble, which forecasts markets: price lists alone have none."""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    weekly = yaml.safe_load((locations.configurations() / "weekly.yaml").read_text())
    path = tmp_path_factory.mktemp("config") / "weekly.yaml"
    demand = path.with_name("demand.yaml")
    demand.write_text(DEMAND)
    path.write_text(yaml.safe_dump({**weekly, **SMALLER, "demand": str(demand)}))
    return path


@pytest.fixture(scope="module")
def run_dir(config, tmp_path_factory):
    reports = tmp_path_factory.mktemp("reports")
    assert main(["run", str(config), "--reports", str(reports)]) == 0
    (path,) = reports.glob("weekly-2026-04-02-*")
    return path


def table(run_dir, name):
    return pd.read_parquet(run_dir / "tables" / f"{name}.parquet")


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_there_and_as_the_schema_says(run_dir, name):
    assert name in RUN_TABLES
    assert len(validate(table(run_dir, name), name)) or name in EMPTY_ON_LISTS


def test_the_tables_fit_together(run_dir):
    offers, plan, paths = (table(run_dir, name) for name in ("offers", "plan", "paths"))
    assert set(plan["offer_id"]) <= set(offers["offer_id"]) & set(paths["offer_id"])
    sources = table(run_dir, "sources")
    assert set(offers["provider"]) <= set(sources.loc[~sources["stale"], "provider"])
    assert "aws-spot-2015" not in set(sources.loc[~sources["stale"], "source"])
    assert paths["path"].nunique() == SMALLER["n_paths"]
    steps = table(run_dir, "lookback").groupby("policy").size()
    assert steps.eq(SMALLER["lookback_steps"]).all()
    risk = table(run_dir, "risk")
    total = risk[risk["scope"] == "total"].set_index(["measure", "level"])["value_usd"]
    assert 0 <= total["var", 0.95] <= total["cvar", 0.95]


def test_the_manifest_says_that_all_is_well(run_dir):
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert manifest["status"] == "succeeded"
    assert manifest["snapshot"][:8] in run_dir.name
    for entry in manifest["notebooks"].values():
        assert (entry["status"], entry["exit_code"], entry["error"]) == ("succeeded", 0, "")


def test_every_page_draws_a_figure_and_says_something(run_dir):
    local = (str(locations.bundled()), sys.prefix, os.path.expanduser("~"), str(run_dir.parent))
    for stage in STAGES:
        text = (run_dir / f"{stage}.html").read_text()
        assert 'class="plot"' in text
        assert 'output_error"' not in text
        assert not re.search(r"""(src|href)=["']https?:""", text)
        assert not [name for name in local if name in text]


def test_the_second_time_there_is_nothing_to_do(run_dir, config, capsys):
    assert main(["run", str(config), "--reports", str(run_dir.parent)]) == 0
    assert "nothing to do" in capsys.readouterr().out


def faults_in_browser(page, path):
    """Open a page without a network; return what went wrong and how many figures were drawn."""
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(request.url))
    page.goto(path.as_uri(), wait_until="load")
    page.wait_for_timeout(1500)
    drawn = page.locator(".plot .main-svg:first-of-type").count()
    return faults, drawn, page.locator(".plot").count()


@pytest.fixture(scope="module")
def page():
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        yield browser.new_context(offline=True).new_page()
        browser.close()


@pytest.mark.parametrize("stage", STAGES)
def test_a_browser_draws_every_figure_without_a_network(run_dir, page, stage):
    faults, drawn, wanted = faults_in_browser(page, run_dir / f"{stage}.html")
    assert faults == []
    assert drawn >= wanted >= 1


def test_on_a_phone_no_figure_is_cut_and_no_column_off_screen(run_dir, page):
    page.set_viewport_size({"width": 390, "height": 800})
    for stage in ("05_summary", "01_explore_prices"):
        page.goto((run_dir / f"{stage}.html").as_uri(), wait_until="load")
        page.wait_for_timeout(800)
        beyond = "[...document.querySelectorAll('.plot svg, .people table')].filter(e => "
        beyond += "e.getBoundingClientRect().right > innerWidth + 1).length"
        assert page.evaluate(beyond) == 0
        assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize(("width", "mode"), [(390, "lines+markers"), (1280, "lines+markers+text")])
def test_amounts_at_points_are_left_out_on_a_phone(page, tmp_path, width, mode):
    figure = '{"data": [{"type": "scatter", "mode": "lines+markers+text"}], "layout": {}}'
    stand_in = "window.Plotly = {newPlot: (box, data) => { window.drawn = data[0].mode; }}"
    script = files("pipelines").joinpath("report/report.js").read_text()
    alone = tmp_path / "alone.html"
    alone.write_text(
        f'<div class="plot"></div><script type="application/json">{figure}</script>'
        '<script type="application/json" id="template">{}</script>'
        f"<script>{stand_in}</script><script>{script}</script>"
    )
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(alone.as_uri())
    assert page.evaluate("window.drawn") == mode


def test_the_summary_is_printed_on_two_sheets(run_dir, page):
    printed = (run_dir / f"{run_dir.name}.pdf").read_bytes()
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 2


def test_the_pages_together_stay_under_a_megabyte(run_dir):
    assert sum(page.stat().st_size for page in run_dir.glob("*.html")) < 1e6


def test_a_page_that_draws_nothing_is_noticed(page, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<div class="plot"></div><script src="https://example.invalid/plotly.js"></script><script>x()</script>'
    )
    faults, drawn, wanted = faults_in_browser(page, bad)
    assert (drawn, wanted) == (0, 1)
    assert len(faults) == 2
