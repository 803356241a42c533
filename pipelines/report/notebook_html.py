"""One executed notebook as HTML: figures that the page's script draws, no noise."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from plotly.utils import PlotlyJSONEncoder

from cloudarb_lib.plots.style import TEMPLATE, with_marks

_PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
"""Kind of output of a widget: in a run a progress bar, of no use on a page."""
FOR_TESTS = "nbval-check-output"
"""Tag of the cells whose output tests compare."""
_VERDICT = "## What this means"
"""Begins the section that says what a notebook comes to, at its end since all before it counts."""
_IN_SHORT = "## In short"
"""How a page, which leads with it, calls that section."""
HOUSE_TEMPLATE = json.dumps(TEMPLATE.to_plotly_json(), cls=PlotlyJSONEncoder)
"""The look of all figures, which a page carries once instead of in each."""
_BAR = re.compile(r"\d+%\|.*\| *\d+/\d+ \[")
"""What tqdm writes of a bar: its share, the bar, how many of how many."""
_FIGURE_HEIGHT = 420
_MARGIN_TOP = 14
_MARGIN_TOP_ANNOTATED = 36
"""Pixels above a figure: more where an annotation stands there."""


def notebook_body(path: Path, *, failed: bool, headline: str = "") -> str:
    """Return a notebook as HTML: figures to be drawn by the page, no state of widgets.

    Progress bars, blank lines and cells that are for tests (their tables stand beside them, as
    people read them) are left out, but where they may explain a failure. What the notebook comes to
    stands first. What follows a cell tagged ``annex`` goes into a section of that class.

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
    notebook.cells = _for_readers(notebook.cells, failed=failed)
    if not failed:
        notebook.cells = _verdict_first(_without_bare_headings(notebook.cells))
    for cell in notebook.cells:
        if headline and "headline" in _tags(cell):
            for output in cell.outputs:
                _show(output, headline)
    notebook.metadata.pop("widgets", None)
    cells = notebook.cells
    at = next((k for k, cell in enumerate(cells) if "annex" in _tags(cell)), len(cells))
    body = _as_html(notebook, cells[:at])
    if at == len(cells):
        return body
    return f'{body}<section class="annex">{_as_html(notebook, cells[at:])}</section>'


def cell_body(cell: Any, *, failed: bool) -> str:
    """Return what one executed cell shows as HTML, as in ``notebook_body``, without its code.

    Parameters
    ----------
    cell : NotebookNode
        Is not changed.
    failed : bool
        Whether it failed.
    """
    kept = _for_readers([copy.deepcopy(cell)], failed=failed)
    return _as_html(nbformat.v4.new_notebook(), kept, with_code=False) if kept else ""


def _for_readers(cells: list[Any], *, failed: bool) -> list[Any]:
    """Return cells without noise and those for tests, their outputs as pages show them."""
    kept = [cell for cell in cells if failed or FOR_TESTS not in _tags(cell)]
    for cell in kept:
        if cell.cell_type == "markdown":
            cell.source = _plain_dollars(cell.source)
        for output in list(cell.get("outputs", [])):
            if _is_noise(output) and not failed:
                cell.outputs.remove(output)
            else:
                _for_the_page(output)
    return kept


def _without_bare_headings(cells: list[Any]) -> list[Any]:
    """Return cells without headings under which a page shows nothing, but for hidden code."""
    return [
        cell
        for k, cell in enumerate(cells)
        if not _heading_level(cell) or _tags(cell) or _is_text_under(cell, cells[k + 1 :])
    ]


def _verdict_first(cells: list[Any]) -> list[Any]:
    """Return cells with the section of the verdict, as ``In short``, before the other sections.

    A page that begins with such a section keeps its order.
    """
    sections = [k for k, cell in enumerate(cells) if _heading_level(cell) in (1, 2)]
    heads = {k: cells[k].source.splitlines()[0] for k in sections}
    verdict = next((k for k, head in heads.items() if head == _VERDICT), None)
    if verdict is None or _IN_SHORT in heads.values():
        return cells
    first = next(k for k in sections if _heading_level(cells[k]) == 2)
    end = next((k for k in sections if k > verdict), len(cells))
    cells[verdict].source = cells[verdict].source.replace(_VERDICT, _IN_SHORT, 1)
    return [*cells[:first], *cells[verdict:end], *cells[first:verdict], *cells[end:]]


def _heading_level(cell: Any) -> int:
    """Return how deep the heading is that begins a cell: 2 for ##; 0 where none does."""
    if cell.cell_type != "markdown":
        return 0
    return len(cell.source) - len(cell.source.lstrip("#"))


def _is_text_under(heading: Any, following: list[Any]) -> bool:
    """Say whether something is shown from a heading to the next one that is not below it."""
    if len(heading.source.strip().splitlines()) > 1:
        return True
    for cell in following:
        if level := _heading_level(cell):
            return level > _heading_level(heading)
        if cell.cell_type == "markdown" or cell.get("outputs"):
            return True
    return False


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _as_html(notebook: Any, cells: list[Any], *, with_code: bool = True) -> str:
    """Return some cells of a notebook as HTML."""
    part = nbformat.from_dict({**notebook, "cells": cells})  # type: ignore[no-untyped-call]
    body, _ = _exporter(with_code).from_notebook_node(part)
    return str(body)


@cache
def _exporter(with_code: bool) -> Any:
    from nbconvert import HTMLExporter

    return HTMLExporter(template_name="basic", exclude_input=not with_code)


def _is_noise(output: Any) -> bool:
    """Say whether an output is a progress bar, done or half way, or a blank line.

    A bar that is done wipes itself out: nothing stands behind the last return to the line's start.
    """
    states = output.get("text", "-").split("\r")
    shown = states[-1].strip()
    is_bar = all(_BAR.search(state) for state in states if state.strip())
    return not shown or is_bar or output.get("name") == "stderr" or WIDGET in output.get("data", {})


def _for_the_page(output: Any) -> None:
    """Turn figures and Markdown into what the page shows, in place."""
    data = output.get("data", {})
    if "text/markdown" in data:
        output.data["text/markdown"] = _plain_dollars(data["text/markdown"])
    elif _PLOTLY in data:
        _show(output, figure_html(data[_PLOTLY]))


def _show(output: Any, page_html: str) -> None:
    """Make some HTML what an output shows."""
    output.data = nbformat.from_dict({"text/html": page_html})  # type: ignore[no-untyped-call]


def _plain_dollars(text: str) -> str:
    """Keep amounts of money from being read as formulas, of which no notebook has any."""
    return re.sub(r"\\?\$", "&#36;", text)


def figure_html(figure: dict[str, Any]) -> str:
    """Return a plotly figure as HTML that the page's script draws, as wide as the page.

    Its title becomes a caption, which wraps on a narrow screen.
    """
    layout = figure["layout"]
    title = layout.pop("title", None) or {}
    text = title if isinstance(title, str) else title.get("text") or ""
    caption = f"<figcaption>{with_marks(text)}</figcaption>"
    if not figure["data"]:  # the caption says why there is nothing to draw
        return f"<figure>{caption}</figure>"
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
        f'<figure>{caption}<div class="plot-scroll">'
        f'<div class="plot" style="height:{height}px"></div>'
        f'<script type="application/json">{content}</script></div></figure>'
    )
