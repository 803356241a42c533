"""The notebooks as an app: Voila runs them, and their pages look like those of a report.

Voila's own page hands each figure to plotly's renderer for JupyterLab together with a bare record
in the place of the model that this expects, so that each ends in "setData is not a function"; it
also shows what is for tests, and asks the network for its icons. Here a figure, a table and a text
are drawn as in a report, and Voila's script is left with what it alone can do, widgets.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import plotly
from voila.app import Voila

from cloudarb_lib.plots.style import FONT
from pipelines.report.notebook_html import HOUSE_TEMPLATE, WIDGET, cell_body
from pipelines.report.pages import FOLDER as REPORT
from pipelines.run.stages import every_stage, in_reading_order

PAGES = Path(__file__).parent / "pages"


class Dashboard(Voila):  # type: ignore[misc]
    """Voila with pages of our own, and the script of plotly beside its own scripts."""

    def setup_template_dirs(self) -> None:
        super().setup_template_dirs()
        self.template_paths.insert(0, str(PAGES))
        self.static_paths.append(str(Path(plotly.__file__).parent / "package_data"))

    def init_settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = super().init_settings()
        settings["voila_jinja2_env"].globals["house"] = page_parts(Path(self.root_dir))
        return settings


def page_parts(notebooks: Path) -> dict[str, Any]:
    """Return what pages carry besides their cells.

    Parameters
    ----------
    notebooks : Path
        Folder of the notebooks.

    Returns
    -------
    dict
        ``font`` and ``css``; ``look``, the template of all figures; ``draw``, the script that
        draws them; ``titles`` and ``questions``, the heading, by the name of each notebook there
        is: ours in reading order, then others.
    """
    there = sorted(file.stem for file in notebooks.glob("*.ipynb"))
    names = [name for name in in_reading_order() if name in there]
    ours = every_stage()
    names += [name for name in there if name not in ours]
    styles = (REPORT / "report.css", PAGES / "dashboard.css")
    return {
        "font": FONT,
        "css": "\n".join(file.read_text(encoding="utf-8") for file in styles),
        "look": HOUSE_TEMPLATE,
        "draw": (REPORT / "report.js").read_text(encoding="utf-8"),
        "titles": {name: ours[name].title if name in ours else name for name in names},
        "questions": {name: _heading(notebooks / f"{name}.ipynb") for name in names},
    }


def _heading(notebook: Path) -> str:
    """Return the first line of a notebook that is a heading; empty where there is none."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    lines = ("".join(cells[0]["source"]) if cells else "").splitlines()
    return lines[0].lstrip("# ") if lines else ""


def cell_of_dashboard(cell: Any) -> str:
    """Return an executed cell as HTML, without its code.

    Parameters
    ----------
    cell : NotebookNode
        Of a notebook that Voila runs.

    Returns
    -------
    str
        What a report shows of it; a widget as the record from which Voila's script makes it.
    """
    widgets = [o for o in cell.get("outputs", []) if WIDGET in o.get("data", {})]
    failed = any(output.output_type == "error" for output in cell.get("outputs", []))
    return cell_body(cell, failed=failed) + "".join(map(_for_voila, widgets))


def _for_voila(output: Any) -> str:
    record = json.dumps({**output, "trusted": True}).replace("<", "\\u003c")
    kind = "application/vnd.voila.cell-output+json"
    return f'<div class="voila-output"><script type="{kind}">{record}</script></div>'
