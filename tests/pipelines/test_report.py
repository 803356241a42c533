"""Pages: figures from files beside them, text escaped, failed runs in red, nothing stale left."""

import json
import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, writes

from cloudarb_lib.base.files import locked
from cloudarb_lib.plots import figure
from cloudarb_lib.plots.style import nothing
from pipelines.report import pages
from pipelines.report.notebook_html import notebook_body
from pipelines.run.files import write_json
from pipelines.run.stages import STAGES
from pipelines.testing import a_manifest


@pytest.fixture(autouse=True)
def no_browser(monkeypatch):
    monkeypatch.setattr("pipelines.report.paper.BROWSERS", ())


@pytest.fixture
def run_dir(tmp_path):
    fig = figure("Spot <b>fell</b>; 3 < 4 </script>", y_title="USD").add_scatter(
        y=[1, 2], name="</script>"
    )
    outputs = [
        new_output("display_data", {"application/vnd.plotly.v1+json": json.loads(fig.to_json())}),
        new_output("stream", name="stderr", text="progress 3 %"),
        new_output("stream", name="stdout", text="\n"),
        new_output(
            "display_data",
            {
                "application/vnd.jupyter.widget-view+json": {"model_id": "m"},
                "text/plain": "bar 4 %",
            },
        ),
        new_output("display_data", {"text/markdown": "It costs **$5** and then $6."}),
    ]
    cells = [new_markdown_cell("# Title, at $7"), new_code_cell("secret_code()", outputs=outputs)]
    whole = new_notebook(cells=cells, metadata={"widgets": {"application/x": {"state": "heavy"}}})
    for stage in STAGES:
        path = tmp_path / "toy-1/notebooks" / f"{stage}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(writes(whole))
    return tmp_path / "toy-1"


def export(run_dir, run):
    (run_dir / "manifest.json").write_text(json.dumps(run))
    pages.export(run_dir, run)
    pages.write_index(run_dir.parent)


@pytest.mark.slow
def test_pages_stand_by_themselves(run_dir):
    export(run_dir, a_manifest())
    found = sorted(run_dir.glob("*.html"))
    assert len(found) == len(STAGES) + 2
    for page in found:
        text = page.read_text()
        assert not re.search(r"""(src|href)=["'](https?:|//|/)""", text)
        for link in re.findall(r'(?:src|href)="([^"#]+)"', text):
            if not link.startswith(("tables/", "logs/")):
                assert (page.parent / link).exists(), link
    assert "url=05_summary.html" in (run_dir / "index.html").read_text()
    script = next((run_dir.parent / "assets").iterdir())
    assert "plotly.js v" in script.read_text()[:200]


@pytest.mark.slow
def test_figures_text_and_noise(run_dir):
    export(run_dir, a_manifest())
    text = (run_dir / "01_explore_prices.html").read_text()
    assert "<figcaption>Spot <b>fell</b>; 3 &lt; 4 &lt;/script&gt;</figcaption>" in text
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.S)[1])
    assert data["data"][0]["name"] == "</script>"
    assert "title" not in data["layout"]
    assert data["layout"]["yaxis"]["title"]["text"] == "USD"
    assert "<strong>$5</strong> and then $6" in text.replace("&#36;", "$")
    assert "Title, at $7" in text.replace("&#36;", "$")
    assert "Toy &amp; &lt;script&gt;" in text
    assert "progress 3 %" not in text
    assert "bar 4 %" not in text
    assert "heavy" not in text
    assert 'aria-current="page">Prices</a>' in text


@pytest.mark.kernel
def test_a_failed_notebook_has_its_page_and_stale_ones_go(run_dir):
    export(run_dir, a_manifest())
    run = a_manifest(status="failed")
    run["notebooks"]["04_risk_and_stress"] |= {"status": "failed", "error": "no <b>way</b>"}
    run["notebooks"]["05_summary"] = {"status": "not run"}
    (run_dir / "failed").mkdir()
    (run_dir / "notebooks/04_risk_and_stress.ipynb").rename(
        run_dir / "failed/04_risk_and_stress.ipynb"
    )
    export(run_dir, run)
    assert not (run_dir / "04_risk_and_stress.html").exists()
    assert not (run_dir / "05_summary.html").exists()
    failed = (run_dir / "failed/04_risk_and_stress.html").read_text()
    assert "no &lt;b&gt;way" in failed
    assert "progress 3 %" in failed, "what it said on the way may explain the failure"
    assert 'href="../01_explore_prices.html"' in failed
    assert 'src="../../assets/plotly' in failed
    assert "url=run.html" in (run_dir / "index.html").read_text()
    overview = (run_dir / "run.html").read_text()
    assert overview.count('class="failed-row"') == 1
    assert "not run" in overview
    export(run_dir, a_manifest())
    assert not (run_dir / "failed/04_risk_and_stress.html").exists()


def test_the_list_of_runs_is_newest_first_and_tells_the_dead_from_the_living(tmp_path):
    failed = {"03_allocate": {"status": "failed", "error": "no plan keeps every limit."}}
    in_order = {
        "alive": a_manifest(status="running", started_at="2026-05-04T00:00:00"),
        "dead": a_manifest(status="running", started_at="2026-05-03T00:00:00"),
        "new": a_manifest(status="failed", started_at="2026-05-02", notebooks=failed),
        "old": a_manifest(),
    }
    for name, run in in_order.items():
        write_json(tmp_path / name / "manifest.json", run | {"run_id": name})
        with locked(tmp_path / ".state" / name / "lock", RuntimeError, "it"):
            """What a run leaves behind that held its lock once."""
    elsewhere = "1"  # an id of another machine or container, which means something else here
    with locked(lock := tmp_path / ".state/alive/lock", RuntimeError, "it"):
        lock.write_text(elsewhere)
        pages.write_index(tmp_path)
    text = (tmp_path / "index.html").read_text()
    assert re.findall(r'href="(\w+)/index.html"', text) == list(in_order)
    rows = dict(zip(in_order, text.split("<tr ")[1:], strict=True))
    assert "running" in rows["alive"]
    assert "stopped" in rows["dead"]
    assert 'class="failed-row"' in "<tr " + rows["new"]
    assert "no plan keeps every limit." in rows["new"]
    assert "no plan keeps every limit." not in rows["old"]
    assert "succeeded" in rows["old"]


def test_no_runs_yet(tmp_path):
    pages.write_index(tmp_path)
    assert "None yet" in (tmp_path / "index.html").read_text()


@pytest.mark.slow
def test_one_file_has_every_page_and_what_draws_it(run_dir, tmp_path):
    export(run_dir, a_manifest())
    pages.export_alone(run_dir, tmp_path / "alone.html")
    text = (tmp_path / "alone.html").read_text()
    assert [f'<article id="{stage}">' in text for stage in STAGES] == [True] * len(STAGES)
    assert "plotly.js v" in text
    assert text.count('class="plot"') == len(STAGES)
    page = re.sub("<script>.*?</script>", "", text, flags=re.S)
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page), "nothing beside it is asked for"


def test_cells_for_tests_stay_out_of_pages_and_an_annex_begins_where_it_says(tmp_path):
    contract = {"tags": ["nbval-check-output", "keep_output"]}
    outputs = [new_output("stream", name="stdout", text="for tests")]
    cells = [
        new_markdown_cell("# First"),
        new_code_cell("1", outputs=outputs, metadata=contract),
        new_markdown_cell("## Then", metadata={"tags": ["annex"]}),
    ]
    path = tmp_path / "n.ipynb"
    path.write_text(writes(new_notebook(cells=cells)))
    body = notebook_body(path, failed=False)
    assert "for tests" not in body
    assert body.index("First") < body.index('<section class="annex">') < body.index("Then")
    assert "for tests" in notebook_body(path, failed=True)


def test_what_a_notebook_comes_to_leads_its_page(tmp_path):
    cells = [
        new_markdown_cell("# Page"),
        new_markdown_cell("## Then\nand so"),
        new_markdown_cell("## What this means"),
        new_markdown_cell("All is well."),
        new_markdown_cell("## What it rests on\nfigures"),
    ]
    path = tmp_path / "n.ipynb"
    path.write_text(writes(new_notebook(cells=cells)))
    order = re.findall("In short|All is well|What this means|Then|rests on", page_text(path))
    assert order == ["In short", "All is well", "Then", "rests on"]
    cells.insert(1, new_markdown_cell("## In short\nBuy."))
    path.write_text(writes(new_notebook(cells=cells)))
    order = re.findall("In short|Then|What this means|rests on", page_text(path))
    assert order == ["In short", "Then", "What this means", "rests on"], "it leads already"


def page_text(path):
    return re.sub("<[^>]*>", "", notebook_body(path, failed=False))


def test_a_figure_that_shows_nothing_is_its_sentence(tmp_path):
    shown = {"application/vnd.plotly.v1+json": json.loads(nothing("No limit binds").to_json())}
    cell = new_code_cell("1", outputs=[new_output("display_data", shown)])
    path = tmp_path / "n.ipynb"
    path.write_text(writes(new_notebook(cells=[cell])))
    body = notebook_body(path, failed=False)
    assert "<figure><figcaption>No limit binds</figcaption></figure>" in body


def test_a_heading_under_which_a_page_shows_nothing_is_left_out(tmp_path):
    outputs = [new_output("stream", name="stdout", text="shown")]
    cells = [
        new_markdown_cell("# Page"),
        new_markdown_cell("## Load"),
        new_code_cell("1"),
        new_markdown_cell("## Figures"),
        new_code_cell("2", outputs=outputs),
        new_markdown_cell("## Told\nIn a sentence."),
        new_markdown_cell("## Save"),
        new_code_cell("3"),
    ]
    path = tmp_path / "n.ipynb"
    path.write_text(writes(new_notebook(cells=cells)))
    body = notebook_body(path, failed=False)
    assert re.findall("<h[12][^>]*>(\\w+)", body) == ["Page", "Figures", "Told"]
    assert "Save" in notebook_body(path, failed=True)


@pytest.mark.slow
def test_the_settings_of_a_run_are_told_as_people_write_them(run_dir):
    config = {"stale_after_days": {"*": 14.0, "azure": 30}, "budget_usd": 1350000.0, "seed": 7}
    export(run_dir, a_manifest(config=config | {"providers": ["gcp", "aws"], "listed_too": True}))
    told = re.findall("<td>([^<]*)</td>", (run_dir / "run.html").read_text())
    for text in ("*: 14, azure: 30", "1,350,000", "gcp, aws", "True"):
        assert text in told


def test_the_headline_stands_in_the_place_of_its_table(tmp_path):
    shown = [new_output("execute_result", {"text/html": "<table>old</table>"}, execution_count=1)]
    cell = new_code_cell("1", outputs=shown, metadata={"tags": ["headline"]})
    path = tmp_path / "n.ipynb"
    path.write_text(writes(new_notebook(cells=[cell])))
    body = notebook_body(path, failed=False, headline='<dl class="cards"></dl>')
    assert "old" not in body
    assert 'class="cards"' in body
    assert "old" in notebook_body(path, failed=False)


def test_a_run_without_the_front_page_opens_at_the_first_that_it_has(run_dir):
    first = next(iter(STAGES))
    run = a_manifest()
    export(run_dir, {**run, "notebooks": {first: run["notebooks"][first]}})
    assert f"url={first}.html" in (run_dir / "index.html").read_text()
    assert not (run_dir / "05_summary.html").exists()
