"""``cloudarb lab`` and ``cloudarb dashboard``: the notebooks in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

PortOption = Annotated[
    int, typer.Option(metavar="NUMBER", help="port on this machine; the next free one if taken")
]
BrowserOption = Annotated[bool, typer.Option("--browser/--no-browser", help="open a browser")]


def lab(port: PortOption = 8888, browser: BrowserOption = True) -> int:
    """JupyterLab with the notebooks, data and reports.

    On this machine alone, with a token, which the address that it prints contains. Running a
    notebook of notebooks/ changes no file: save it elsewhere to keep what it shows.
    """
    from pipelines.workbench.servers import start_lab

    start_lab(_options(port, browser))
    return 0


def dashboard(port: PortOption = 8866, browser: BrowserOption = True) -> int:
    """The notebooks as an app: pages with controls, without their code.

    On this machine alone, with a token, which the address that it prints contains. A page is there
    once its notebook has run through.
    """
    from pipelines.workbench.servers import start_dashboard

    start_dashboard(_options(port, browser))
    return 0


def _options(port: int, browser: bool) -> list[str]:
    return [f"--port={port}", *([] if browser else ["--no-browser"])]
