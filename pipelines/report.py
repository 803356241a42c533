"""Pages of a run for readers: its notebooks as HTML, an overview, and the list of all runs.

Everything is drawn from files beside the page: no page asks the network for anything.
"""

from __future__ import annotations

import html
import json
import re
from importlib import metadata
from pathlib import Path

import nbformat

from pipelines.config import STEPS
from pipelines.files import read_json, write_text

_PLOTLY = "application/vnd.plotly.v1+json"
_DRAW = """for (const box of document.querySelectorAll(".plot")) {
  const figure = JSON.parse(box.nextElementSibling.textContent);
  Plotly.newPlot(box, figure.data, figure.layout, {responsive: true, displaylogo: false,
    displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false});
}"""
_SITE = '<header class="site"><div class="wide"><div class="brand"><strong>CloudArb</strong></div><br></div></header>'
_FRONT = ("05_summary", *(step for step in STEPS if step != "05_summary"))


def export(run_dir: Path) -> None:
    """Write the pages of a run: one a notebook, failed ones too, an overview, and index.html.

    Pages of notebooks that did not succeed this time are taken away.
    """
    manifest = read_json(run_dir / "manifest.json") or {}
    _share_plotly(run_dir.parent / "assets")
    for step, told in manifest["notebooks"].items():
        (run_dir / f"{step}.html").unlink(missing_ok=True)
        for folder, state in (("notebooks", "succeeded"), ("failed", "failed")):
            notebook = run_dir / folder / f"{step}.ipynb"
            if told["status"] == state and notebook.exists():
                page = run_dir / ("" if state == "succeeded" else folder) / f"{step}.html"
                write_text(page, _notebook_page(notebook, step, manifest))
            elif folder == "failed":
                (run_dir / folder / f"{step}.html").unlink(missing_ok=True)
    write_text(run_dir / "run.html", _run_page(manifest, run_dir))
    front = "05_summary.html" if manifest["status"] == "succeeded" else "run.html"
    write_text(
        run_dir / "index.html",
        f'<!doctype html><meta charset="utf-8"><title>{manifest["run_id"]}</title>'
        f'<meta http-equiv="refresh" content="0; url={front}"><a href="{front}">{front}</a>\n',
    )


def write_index(reports: Path) -> None:
    """Write reports/index.html: every run, newest first, failed ones in red."""
    found = [read_json(path) for path in reports.glob("*/manifest.json")]
    runs = sorted((m for m in found if m), key=lambda m: m["started_at"], reverse=True)
    rows = [
        [
            f'<a href="{m["run_id"]}/index.html">{html.escape(m["title"])}</a>',
            _badge(m["status"]),
            m["as_of"],
            m["snapshot"][:8],
            _when(m["started_at"]),
            f"{m['seconds']:.0f} s" if "seconds" in m else "",
            " ".join(
                f'<a href="{m["run_id"]}/{step}.html">{STEPS[step]}</a>'
                for step in _FRONT
                if m["notebooks"][step]["status"] == "succeeded"
            ),
        ]
        for m in runs
    ]
    heads = ["run", "status", "as of", "snapshot", "started (UTC)", "took", "pages"]
    table = _table(heads, rows, [m["status"] for m in runs])
    body = f"<h1>Runs</h1>{table if runs else '<p>None yet: make report.</p>'}"
    write_text(reports / "index.html", _page("CloudArb runs", body, header=_SITE))


def _share_plotly(assets: Path) -> None:
    target = assets / _plotly_name()
    if not target.exists():
        from plotly.offline import get_plotlyjs

        write_text(target, get_plotlyjs())


def _plotly_name() -> str:
    """Name of the script; with its version, so that old reports keep the one they were drawn by."""
    return f"plotly-{metadata.version('plotly')}.min.js"


def _notebook_page(path: Path, step: str, manifest: dict) -> str:
    from nbconvert import HTMLExporter

    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    told = manifest["notebooks"][step]
    failed = told["status"] == "failed"
    for cell in notebook.cells:
        cell.outputs = [_drawn(output) for output in cell.get("outputs", [])]
        if cell.cell_type != "code":
            del cell["outputs"]
    notebook.metadata.pop("widgets", None)
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    fault = f'<div class="fault"><b>Failed.</b> {html.escape(str(told["error"]))}</div>'
    root = "../" if failed else ""
    scripts = f'<script src="{root}../assets/{_plotly_name()}"></script><script>{_DRAW}</script>'
    return _page(
        f"{STEPS[step]} - {manifest['title']}",
        (fault if failed else "") + body + (scripts if 'class="plot"' in body else ""),
        header=_header(manifest, step, root, code=" checked" if failed else ""),
    )


def _drawn(output: dict) -> dict:
    """Return an output with a plotly figure turned into HTML, its title into a caption."""
    figure = output.get("data", {}).get(_PLOTLY)
    if figure is None:
        return output
    layout = figure["layout"]
    title = layout.pop("title", None) or {}
    text = title if isinstance(title, str) else title.get("text") or ""
    tops = [a for a in layout.get("annotations", []) if a.get("yref") == "paper" and a["y"] >= 1]
    layout["margin"] = {**layout.get("margin", {}), "t": 36 if tops else 14}
    layout["autosize"] = True
    layout.pop("width", None)
    height = int(layout.get("height") or 420)
    data = json.dumps({"data": figure["data"], "layout": layout}).replace("<", "\\u003c")
    caption = re.sub(r"&lt;(/?(?:b|i|sub|sup|br))\s*/?&gt;", r"<\1>", html.escape(text))
    drawn = (
        f"<figure><figcaption>{caption}</figcaption><div class='plot-scroll'>"
        f'<div class="plot" style="height:{height}px"></div>'
        f'<script type="application/json">{data}</script></div></figure>'
    )
    return nbformat.from_dict({**output, "data": {"text/html": drawn}})  # type: ignore[no-untyped-call,no-any-return]


def _run_page(manifest: dict, run_dir: Path) -> str:
    rows, states = [], []
    for step, told in manifest["notebooks"].items():
        state = told["status"]
        page = {"succeeded": f"{step}.html", "failed": f"failed/{step}.html"}.get(state)
        name = f'<a href="{page}">{STEPS[step]}</a>' if page else STEPS[step]
        took = f"{told['seconds']:.1f} s" if "seconds" in told else ""
        tables = " ".join(f'<a href="tables/{t}.parquet">{t}</a>' for t in told.get("tables") or [])
        rows.append([name, _badge(state), took, tables + html.escape(told.get("error") or "")])
        states.append(state)
    git = manifest["git"]
    rests = {
        "Revision": git and git["revision"][:12] + (" with changes" if git["dirty"] else ""),
        "Library": manifest["library"],
        "Python": f"{manifest['python']} on {manifest['platform']}",
        **{k: json.dumps(v) for k, v in manifest["config"].items()},
        "Packages": ", ".join(f"{k} {v}" for k, v in manifest["packages"].items()),
    }
    facts = [[html.escape(k), html.escape(str(v or "unknown"))] for k, v in rests.items()]
    body = (
        f"<h1>{html.escape(manifest['title'])}</h1>"
        + _table(["notebook", "status", "took", "tables"], rows, states)
        + f"<h2>What it rests on</h2>{_table([], facts, [])}"
        + '<p><a href="manifest.json">manifest.json</a> <a href="logs/graph.log">log</a></p>'
    )
    return _page(f"Run - {manifest['title']}", body, header=_header(manifest, "run", ""))


def _header(manifest: dict, current: str, root: str, *, code: str | None = None) -> str:
    links = []
    for step in _FRONT:
        state = manifest["notebooks"][step]["status"]
        mark = ' aria-current="page"' if step == current else ""
        if state in ("succeeded", "failed"):
            page = f"{step}.html" if state == "succeeded" else f"failed/{step}.html"
            links.append(f'<a class="to-{state}" href="{root}{page}"{mark}>{STEPS[step]}</a>')
        else:
            links.append(f"<span title='{state}'>{STEPS[step]}</span>")
    mark = ' aria-current="page"' if current == "run" else ""
    links.append(f'<a href="{root}run.html"{mark}>About this run</a>')
    box = f'<label><input type="checkbox" id="show-code"{code}> show code</label>'
    return (
        f'<header class="site"><div class="wide"><div class="brand">'
        f'<strong><a href="{root}../index.html">CloudArb</a></strong>'
        f"<span>{html.escape(manifest['title'])}</span></div>"
        f'<nav class="pages">{"".join(links)}</nav></div></header>'
        f'<div class="facts wide"><span>Prices as of <b>{manifest["as_of"]}</b></span>'
        f"<span>Snapshot <b>{manifest['snapshot'][:8]}</b></span>"
        f"<span>Run <b>{manifest['run_id']}</b>, {_when(manifest['started_at'])} UTC</span>"
        f"{_badge(manifest['status'])}{'' if code is None else box}</div>"
    )


def _page(title: str, body: str, *, header: str) -> str:
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>"
        f'<body>{header}<main class="wide">{body}</main></body></html>\n'
    )


def _table(heads: list[str], rows: list[list[str]], states: list[str]) -> str:
    head = "".join(f"<th>{h}</th>" for h in heads)
    lines = "".join(
        f'<tr class="{states[i] if i < len(states) and states[i] == "failed" else ""}">'
        + "".join(f"<td>{cell}</td>" for cell in row)
        + "</tr>"
        for i, row in enumerate(rows)
    )
    top = f"<thead><tr>{head}</tr></thead>" if heads else ""
    return f'<div class="table"><table>{top}<tbody>{lines}</tbody></table></div>'


def _badge(state: str) -> str:
    return f'<span class="badge {state.replace(" ", "-")}">{state}</span>'


def _when(stamp: str) -> str:
    return stamp[:16].replace("T", " ")
