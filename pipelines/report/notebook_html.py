"""One executed notebook as HTML: figures that the page's script draws, no noise."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import nbformat
from plotly.utils import PlotlyJSONEncoder

from cloudarb_lib.plots.style import TEMPLATE

_PLOTLY = "application/vnd.plotly.v1+json"
_WIDGET = "application/vnd.jupyter.widget-view+json"  # progress bars, of no use on a page
FOR_TESTS = "nbval-check-output"
"""Tag of the cells whose output tests compare."""
HOUSE_TEMPLATE = json.dumps(TEMPLATE.to_plotly_json(), cls=PlotlyJSONEncoder)
"""The look of all figures, which a page carries once instead of in each."""
_FIGURE_HEIGHT = 420
_MARGIN_TOP = 14
_MARGIN_TOP_ANNOTATED = 36
"""Pixels above a figure: more where an annotation stands there."""


def notebook_body(path: Path, *, failed: bool, headline: str = "") -> str:
    """Return a notebook as HTML: figures to be drawn by the page, no state of widgets.

    Progress bars, blank lines and cells that are for tests (their tables stand beside them, as
    people read them) are left out, but where they may explain a failure. What follows a cell tagged
    ``annex`` goes into a section of that class.

    Parameters
    ----------
    path : Path
        The executed notebook.
    failed : bool
        Whether it failed.
    headline : str
        HTML in place of the table of the cell tagged ``headline``.
    """
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    if not failed:
        notebook.cells = [cell for cell in notebook.cells if FOR_TESTS not in _tags(cell)]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _plain_dollars(cell.source)
        for output in list(cell.get("outputs", [])):
            if _is_noise(output) and not failed:
                cell.outputs.remove(output)
            else:
                _for_the_page(output)
                if headline and "headline" in _tags(cell):
                    _show(output, headline)
    notebook.metadata.pop("widgets", None)
    cells = notebook.cells
    at = next((k for k, cell in enumerate(cells) if "annex" in _tags(cell)), len(cells))
    body = _as_html(notebook, cells[:at])
    if at == len(cells):
        return body
    return f'{body}<section class="annex">{_as_html(notebook, cells[at:])}</section>'


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _as_html(notebook: Any, cells: list[Any]) -> str:
    """Return some cells of a notebook as HTML."""
    from nbconvert import HTMLExporter

    part = nbformat.from_dict({**notebook, "cells": cells})  # type: ignore[no-untyped-call]
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(part)
    return str(body)


def _is_noise(output: Any) -> bool:
    """Say whether an output is a progress bar or a blank line."""
    blank = not output.get("text", "-").strip()
    return blank or output.get("name") == "stderr" or _WIDGET in output.get("data", {})


def _for_the_page(output: Any) -> None:
    """Turn figures and Markdown into what the page shows, in place."""
    data = output.get("data", {})
    if "text/markdown" in data:
        output.data["text/markdown"] = _plain_dollars(data["text/markdown"])
    elif _PLOTLY in data:
        _show(output, _figure(data[_PLOTLY]))


def _show(output: Any, page_html: str) -> None:
    """Make some HTML what an output shows."""
    output.data = nbformat.from_dict({"text/html": page_html})  # type: ignore[no-untyped-call]


def _plain_dollars(text: str) -> str:
    """Keep amounts of money from being read as formulas, of which no notebook has any."""
    return re.sub(r"\\?\$", "&#36;", text)


def _figure(figure: dict[str, Any]) -> str:
    """Return a plotly figure as HTML that the page's script draws, as wide as the page.

    Its title becomes a caption, which wraps on a narrow screen.
    """
    layout = figure["layout"]
    title = layout.pop("title", None) or {}
    text = title if isinstance(title, str) else title.get("text") or ""
    caption = re.sub(r"&lt;(/?(?:b|i|sub|sup|br))\s*/?&gt;", r"<\1>", html.escape(text))
    annotated_above = any(
        a.get("yref") == "paper" and a.get("y", 0) >= 1 for a in layout.get("annotations", [])
    )
    top = _MARGIN_TOP_ANNOTATED if annotated_above else _MARGIN_TOP
    layout |= {"autosize": True, "margin": {**layout.get("margin", {}), "t": top}}
    layout.pop("width", None)
    if layout.get("template") == json.loads(HOUSE_TEMPLATE):
        del layout["template"]  # the page has it once
    height = int(layout.get("height") or _FIGURE_HEIGHT)
    content = json.dumps({"data": figure["data"], "layout": layout}).replace("<", "\\u003c")
    return (
        f'<figure><figcaption>{caption}</figcaption><div class="plot-scroll">'
        f'<div class="plot" style="height:{height}px"></div>'
        f'<script type="application/json">{content}</script></div></figure>'
    )
