"""Options that several verbs have, declared once: the same name asks for the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StoreOption = Annotated[
    str, typer.Option(metavar="FOLDER", help="folder of the store  [default: data/store]")
]
ReportsOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="folder of the reports  [default: reports/]")
]
AsOfOption = Annotated[
    str, typer.Option(metavar="DAY", help="what was known at the end of it, such as 2026-04-29")
]
StaleAfterOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[SOURCE=]DAYS ...",
        help="leave out prices observed longer ago, of a source or of all  [default: 14]",
    ),
]
ListedTooOption = Annotated[
    bool,
    typer.Option("--listed-too", help="take what is listed, and not known to be sold, as offered"),
]
StepOption = Annotated[str, typer.Option(metavar="STEP", help="step of the price grid")]
PathsOption = Annotated[
    int, typer.Option(metavar="N", help="price paths over which cost is averaged")
]
PathSeedOption = Annotated[int, typer.Option(metavar="N", help="of the price paths")]
