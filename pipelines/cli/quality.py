"""``cloudarb quality``: figures of the code itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.exit_codes import DONE


def quality(
    cover: Annotated[
        bool,
        typer.Option(
            "--cover", help="run the tests under coverage first; goes on where it was stopped"
        ),
    ] = False,
    marks: Annotated[
        str, typer.Option(metavar="EXPR", help="tests of --cover, as pytest -m takes them")
    ] = "not long",
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="read this file of coverage's instead")
    ] = None,
    days: Annotated[
        int, typer.Option(metavar="N", min=1, help="days before the newest landing that count")
    ] = 90,
    json_: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> int:
    """Print how involved the code is, how well it is tested, and how changes land.

    Complexity of functions (McCabe); lines and branches that tests cover, beside their goals; the
    share of small faults put into three modules that their tests find (python -m
    benchmarks.mutation); how often changes land, how soon, and how many are mended within a day.
    What was not measured says so. Works in a checkout.
    """
    import json
    from dataclasses import asdict

    from cloudarb_lib.base import locations
    from cloudarb_lib.base.errors import ParameterError
    from pipelines.cli.extras import require
    from pipelines.quality import complexity, covered, landings, mutation
    from pipelines.quality.figure import is_checkout, table

    root = locations.bundled()
    if not is_checkout(root):
        raise ParameterError(f"{root} is no checkout.", "Clone the repository, and run it there.")
    if data is not None and not data.is_file():
        raise ParameterError(f"no file {data}.", "Name a file that coverage wrote (.coverage).")
    state = locations.reports() / ".state"
    if cover:
        require("observe", "coverage")
        covered.measure(root, state, marks)
        covered.keep(root, state)
    found = [
        *complexity.figures(root),
        *covered.figures(root, state, data),
        *mutation.figures(root),
        *landings.figures(root, days),
    ]
    print(json.dumps([asdict(figure) for figure in found], indent=1) if json_ else table(found))
    return DONE
