"""Pages of a run for readers: its notebooks as HTML, an overview, and the list of all runs.

Everything is drawn from files beside the page: no page asks the network for anything.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2

from pipelines.report import FOLDER
from pipelines.report.notebook_html import notebook_body
from pipelines.run.files import read_json, write_text
from pipelines.run.stages import FRONT_PAGE, STAGES, in_reading_order


def export(run_dir: Path) -> None:
    """Write the pages of a run: one a notebook, failed ones too, an overview, and index.html.

    Pages of notebooks that did not succeed this time are taken away.
    """
    run = read_json(run_dir / "manifest.json") or {}
    _write_plotly(run_dir.parent / "assets")
    for stage, entry in run["notebooks"].items():
        for status, folder, page_folder in (
            ("succeeded", "notebooks", ""),
            ("failed", "failed", "failed"),
        ):
            notebook = run_dir / folder / f"{stage}.ipynb"
            page = run_dir / page_folder / f"{stage}.html"
            if entry["status"] == status and notebook.exists():
                body = notebook_body(notebook, failed=status == "failed")
                root = "../" if page_folder else ""
                html = _page(kind="notebook", run=run, current=stage, root=root, body=body)
                write_text(page, html)
            else:
                page.unlink(missing_ok=True)
    write_text(run_dir / "run.html", _page(kind="run", run=run, current="run"))
    front = f"{FRONT_PAGE}.html" if run["status"] == "succeeded" else "run.html"
    leave = f'<meta http-equiv="refresh" content="0; url={front}"><a href="{front}">{front}</a>'
    write_text(run_dir / "index.html", f'<!doctype html><meta charset="utf-8">{leave}\n')


def write_index(reports: Path) -> None:
    """Write reports/index.html: every run, newest first, failed ones in red."""
    runs = [run for path in reports.glob("*/manifest.json") if (run := read_json(path))]
    for run in runs:
        if run["status"] == "running" and not Path(f"/proc/{run['pid']}").exists():
            run["status"] = "stopped"
    runs.sort(key=lambda run: str(run["started_at"]), reverse=True)
    write_text(reports / "index.html", _page(kind="index", runs=runs))


def _write_plotly(assets: Path) -> None:
    """Write plotly's script beside the runs, unless it lies there already."""
    script = assets / _plotly_script()
    if not script.exists():
        from plotly.offline import get_plotlyjs

        write_text(script, get_plotlyjs())


def _plotly_script() -> str:
    """Name of the script; with its version, so that old reports keep the one they were drawn by."""
    return f"plotly-{metadata.version('plotly')}.min.js"


def _page(**values: Any) -> str:
    """Return the template with ``values`` (kind, run, current, root, body; or kind, runs)."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER), autoescape=True)
    template = environment.get_template("report.html")
    always = {
        "root": "",
        "stages": in_reading_order(),
        "titles": {**{name: stage.title for name, stage in STAGES.items()}, "run": "Run"},
        "css": (FOLDER / "report.css").read_text(encoding="utf-8"),
        "plotly": _plotly_script(),
    }
    return template.render({**always, **values})
