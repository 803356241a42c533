"""Pages of a run for readers: its notebooks as HTML, an overview, and the list of all runs.

Everything is drawn from files beside the page: no page asks the network for anything.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2

from cloudarb_lib.base.wording import setting_in_words
from cloudarb_lib.plots.style import FONT
from pipelines.report import FOLDER, runs
from pipelines.report.differences import compare, in_words
from pipelines.report.notebook_html import HOUSE_TEMPLATE, notebook_body
from pipelines.report.paper import write_pdf
from pipelines.report.runs import Run
from pipelines.run.files import read_json, write_text
from pipelines.run.folders import series
from pipelines.run.stages import FRONT_PAGE, every_stage, front_page, in_reading_order

SHOWN_IN_INDEX = ["expected_cost", "one_in_twenty", "over_budget"]
"""Headline figures that the list of runs tells of each."""
MOST_IN_SPARKLINE = 20


def export(run_dir: Path, run: Run) -> None:
    """Write the pages of a run: one a notebook, failed ones too, an overview, and index.html.

    Pages of notebooks that did not succeed this time are taken away. Where a browser is found, the
    front page is printed into a PDF beside it.

    Parameters
    ----------
    run_dir : Path
        Its folder.
    run : dict
        Its manifest.
    """
    write_plotly(run_dir.parent / "assets")
    bodies = _bodies(run, run_dir)
    for stage, entry in run["notebooks"].items():
        for page_folder in ("", "failed"):
            page = run_dir / page_folder / f"{stage}.html"
            if stage not in bodies or (entry["status"] == "failed") != bool(page_folder):
                page.unlink(missing_ok=True)
                continue
            root = "../" if page_folder else ""
            values = {"kind": "notebook", "run": run, "current": stage, "root": root}
            write_text(page, render(**values, body=bodies[stage]))
    opens = front_page(run["notebooks"])
    pdf = write_pdf(run_dir / f"{opens}.html", f"{run['run_id']}.pdf")
    settings = {key: setting_in_words(value) for key, value in run["config"].items()}
    about = render(kind="run", run=run, current="run", pdf=pdf, settings=settings)
    write_text(run_dir / "run.html", about)
    front = f"{opens}.html" if run["status"] == "succeeded" else "run.html"
    leave = f'<meta http-equiv="refresh" content="0; url={front}"><a href="{front}">{front}</a>'
    write_text(run_dir / "index.html", f'<!doctype html><meta charset="utf-8">{leave}\n')


def export_alone(run_dir: Path, target: Path) -> None:
    """Write all pages of a run as one file that needs nothing beside it: to be mailed."""
    from plotly.offline import get_plotlyjs

    run = read_json(run_dir / "manifest.json") or {}
    bodies = _bodies(run, run_dir)
    ordered = {stage: bodies[stage] for stage in in_reading_order() if stage in bodies}
    values = {"run": run, "current": front_page(ordered), "bodies": ordered}
    page = render(kind="alone", **values, script=get_plotlyjs())
    write_text(target, page)


def _bodies(run: Run, run_dir: Path) -> dict[str, str]:
    """Return the body of the page of each notebook that succeeded or failed."""
    bodies = {}
    for stage, entry in run["notebooks"].items():
        failed = entry["status"] == "failed"
        notebook = run_dir / ("failed" if failed else "notebooks") / f"{stage}.ipynb"
        if entry["status"] in ("succeeded", "failed") and notebook.exists():
            headline = _headline(run, run_dir.parent) if stage == FRONT_PAGE else ""
            bodies[stage] = notebook_body(notebook, failed=failed, headline=headline)
    return bodies


def _headline(run: Run, reports: Path) -> str:
    """Return the headline figures of a run as HTML, with their changes since the last run."""
    now = runs.headline(run, reports)
    if now.empty:
        return ""
    last = runs.run_before(run, reports)
    before = runs.headline(last, reports) if last else now.iloc[:0]
    lines = in_words(compare(last, run, reports)) if last else []
    return render_part("headline.html", figures=runs.figures(now, before), last=last, lines=lines)


def write_index(reports: Path) -> None:
    """Write reports/index.html: every run, newest first, failed ones in red."""
    found = runs.all_runs(reports)
    costs: dict[tuple[str, str], list[float]] = {}
    for run in reversed(found):
        table = runs.headline(run, reports)
        shown = table[table.index.isin(SHOWN_IN_INDEX)]
        run["figures"] = runs.figures(shown, table.iloc[:0])
        run["fault"] = runs.fault(run)
        if len(table):
            so_far = costs.setdefault(series(run), [])
            so_far.append(float(table["value"]["expected_cost"]))
            run["spark"] = runs.sparkline(so_far[-MOST_IN_SPARKLINE:])
    write_text(reports / "index.html", render(kind="index", runs=found))


def write_plotly(assets: Path) -> None:
    """Write plotly's script beside the runs, unless it lies there already."""
    script = assets / _plotly_script()
    if not script.exists():
        from plotly.offline import get_plotlyjs

        write_text(script, get_plotlyjs())


def _plotly_script() -> str:
    """Name of the script; with its version, so that old reports keep the one they were drawn by."""
    return f"plotly-{metadata.version('plotly')}.min.js"


def render(**values: Any) -> str:
    """Return a page: ``kind``, and what pages of that kind show (``report.html`` says)."""
    always = {
        "root": "",
        "pdf": None,
        "stages": in_reading_order(),
        "titles": {name: stage.title for name, stage in every_stage().items()} | {"run": "Run"},
        "font": FONT,
        "css": (FOLDER / "report.css").read_text(encoding="utf-8"),
        "look": HOUSE_TEMPLATE,
        "draw": (FOLDER / "report.js").read_text(encoding="utf-8"),
        "plotly": _plotly_script(),
    }
    front = "run" in values and values["current"] == front_page(values["run"]["notebooks"])
    always["old"] = runs.age_in_words(values["run"]) if front else ""
    return render_part("report.html", **{**always, **values})


def render_part(template: str, **values: Any) -> str:
    """Return one template of this folder with ``values``."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER), autoescape=True)
    return environment.get_template(template).render(values)
