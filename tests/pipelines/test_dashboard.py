"""The dashboard without a browser: what of a cell is shown, which notebooks there are."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from nbformat import v4

from cloudarb_lib.base import locations
from cloudarb_lib.plots import figure
from pipelines.run.stages import STAGES, in_reading_order
from pipelines.workbench.dashboard import cell_of_dashboard, page_parts

FIGURE = {"application/vnd.plotly.v1+json": json.loads(figure("Prices fell").to_json())}
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "</script>"}}


def cell(*outputs, tags=()):
    made = [v4.new_output("display_data", data) for data in outputs]
    return v4.new_code_cell("secret_code()", outputs=made, metadata={"tags": list(tags)})


def test_figures_tables_and_texts_are_shown_as_in_a_report_without_code():
    html = cell_of_dashboard(cell(FIGURE, {"text/html": "<table></table>"}))
    assert "<figcaption>Prices fell</figcaption>" in html
    assert "<table></table>" in html
    assert "secret_code" not in html
    assert "voila" not in html
    assert "costs $5" in cell_of_dashboard(v4.new_markdown_cell("It costs $5."))


def test_a_widget_is_left_to_voila():
    html = cell_of_dashboard(cell(WIDGET))
    record = re.search(r'cell-output\+json">(.*)</script></div>$', html)[1]
    assert json.loads(record)["data"] == WIDGET
    assert "</script>" not in record


def test_what_is_for_tests_and_bars_that_are_done_are_left_out():
    bar = v4.new_output("stream", name="stdout", text="50 %|###   |\r           \r")
    done = v4.new_code_cell("work()", outputs=[bar])
    assert "50 %" not in cell_of_dashboard(done)
    half_way = "members: 0%|   | 0/5 [00:00<?]\rmembers: 60%|###   | 3/5 [00:01<00:00, 2.1it/s]"
    done.outputs = [v4.new_output("stream", name="stdout", text=half_way)]
    assert "members" not in cell_of_dashboard(done)
    done.outputs = [v4.new_output("stream", name="stdout", text="3/5 of the members, 60%\n")]
    assert "of the members" in cell_of_dashboard(done)
    assert cell_of_dashboard(cell({"text/plain": "a contract"}, tags=["nbval-check-output"])) == ""


def test_a_cell_that_fails_shows_all():
    failed = cell({"text/plain": "seen before"}, tags=["nbval-check-output"])
    failed.outputs.append(v4.new_output("error", ename="KeyError", evalue="H100", traceback=["?"]))
    assert "seen before" in cell_of_dashboard(failed)


@pytest.fixture
def folder(tmp_path):
    for notebook in locations.notebooks().glob("*.ipynb"):
        shutil.copy(notebook, tmp_path)
    (tmp_path / "mine.ipynb").write_text(json.dumps({"cells": []}))
    return tmp_path


def test_the_first_page_names_our_notebooks_and_others(folder):
    parts = page_parts(folder)
    assert list(parts["titles"]) == [*in_reading_order(), "mine"]
    assert parts["titles"]["03_allocate"] == STAGES["03_allocate"].title
    assert parts["questions"]["03_allocate"] == "Allocation: what to rent where"
    assert parts["questions"]["mine"] == ""
