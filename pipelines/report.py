"""Pages of a run for readers: its notebooks as HTML, an overview, and the list of all runs.

Everything is drawn from files beside the page: no page asks the network for anything.
"""

from __future__ import annotations

import html
import json
import re
from importlib import metadata
from pathlib import Path

import jinja2
import nbformat

from pipelines.config import STEPS
from pipelines.files import read_json, write_text

_PLOTLY = "application/vnd.plotly.v1+json"
_WIDGET = "application/vnd.jupyter.widget-view+json"  # progress bars, of no use on a page
_HERE = Path(__file__).parent
_FRONT = ("05_summary", *(step for step in STEPS if step != "05_summary"))


def export(run_dir: Path) -> None:
    """Write the pages of a run: one a notebook, failed ones too, an overview, and index.html.

    Pages of notebooks that did not succeed this time are taken away.
    """
    run = read_json(run_dir / "manifest.json") or {}
    plotly = run_dir.parent / "assets" / _plotly()
    if not plotly.exists():
        from plotly.offline import get_plotlyjs

        write_text(plotly, get_plotlyjs())
    for step, told in run["notebooks"].items():
        for state, folder, root in (("succeeded", "notebooks", ""), ("failed", "failed", "../")):
            notebook = run_dir / folder / f"{step}.ipynb"
            page = run_dir / (folder if root else "") / f"{step}.html"
            if told["status"] == state and notebook.exists():
                body = _body(notebook, failed=state == "failed")
                write_text(
                    page, _fill(kind="notebook", run=run, current=step, root=root, body=body)
                )
            else:
                page.unlink(missing_ok=True)
    write_text(run_dir / "run.html", _fill(kind="run", run=run, current="run"))
    front = "05_summary.html" if run["status"] == "succeeded" else "run.html"
    leave = f'<meta http-equiv="refresh" content="0; url={front}"><a href="{front}">{front}</a>'
    write_text(run_dir / "index.html", f'<!doctype html><meta charset="utf-8">{leave}\n')


def write_index(reports: Path) -> None:
    """Write reports/index.html: every run, newest first, failed ones in red."""
    runs = [run for path in reports.glob("*/manifest.json") if (run := read_json(path))]
    for run in runs:
        if run["status"] == "running" and not Path(f"/proc/{run['pid']}").exists():
            run["status"] = "stopped"
    runs.sort(key=lambda run: str(run["started_at"]), reverse=True)
    write_text(reports / "index.html", _fill(kind="index", runs=runs))


def _plotly() -> str:
    """Name of the script; with its version, so that old reports keep the one they were drawn by."""
    return f"plotly-{metadata.version('plotly')}.min.js"


def _fill(**values: object) -> str:
    """Return the template with ``values`` (kind, run, current, root, body; or kind, runs)."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_HERE), autoescape=True)
    shared = {"css": (_HERE / "report.css").read_text(encoding="utf-8"), "plotly": _plotly()}
    names = {**STEPS, "run": "Run"}
    template = environment.get_template("report.html")
    return template.render({"root": "", "front": _FRONT, "names": names, **shared, **values})


def _body(path: Path, *, failed: bool) -> str:
    """Return a notebook as HTML: figures to be drawn by the page, no state of widgets.

    Progress bars and blank lines are left out, but where they may explain a failure.
    """
    from nbconvert import HTMLExporter

    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _plain_dollars(cell.source)
        for output in list(cell.get("outputs", [])):
            noise = output.get("name") == "stderr" or not output.get("text", "-").strip()
            if (noise or _WIDGET in output.get("data", {})) and not failed:
                cell.outputs.remove(output)
            elif "text/markdown" in output.get("data", {}):
                output.data["text/markdown"] = _plain_dollars(output.data["text/markdown"])
            elif _PLOTLY in output.get("data", {}):
                output.data = nbformat.from_dict({"text/html": _figure(output.data[_PLOTLY])})  # type: ignore[no-untyped-call]
    notebook.metadata.pop("widgets", None)
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    return str(body)


def _plain_dollars(text: str) -> str:
    """Keep amounts of money from being read as formulas, of which no notebook has any."""
    return re.sub(r"\\?\$", "&#36;", text)


def _figure(figure: dict) -> str:
    """Return a plotly figure as HTML that the page's script draws, as wide as the page.

    Its title becomes a caption, which wraps on a narrow screen.
    """
    layout = figure["layout"]
    title = layout.pop("title", None) or {}
    text = title if isinstance(title, str) else title.get("text") or ""
    above = any(
        a.get("yref") == "paper" and a.get("y", 0) >= 1 for a in layout.get("annotations", [])
    )
    layout |= {"autosize": True, "margin": {**layout.get("margin", {}), "t": 36 if above else 14}}
    layout.pop("width", None)
    content = json.dumps({"data": figure["data"], "layout": layout}).replace("<", "\\u003c")
    caption = re.sub(r"&lt;(/?(?:b|i|sub|sup|br))\s*/?&gt;", r"<\1>", html.escape(text))
    return (
        f'<figure><figcaption>{caption}</figcaption><div class="plot-scroll">'
        f'<div class="plot" style="height:{int(layout.get("height") or 420)}px"></div>'
        f'<script type="application/json">{content}</script></div></figure>'
    )
