"""``cloudarb advise backtest``: would following the advice of the past have paid?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cloudarb_lib.base.errors import ParameterError, did_you_mean
from pipelines.cli.folders import refuse_unwritable
from pipelines.cli.manual import with_options
from pipelines.cli.options import StoreOption
from pipelines.exit_codes import DONE


@dataclass(frozen=True)
class BacktestOptions:
    """Options of the verb."""

    decisions: Annotated[
        list[str] | None,
        typer.Option("--decision", metavar="NAME ...", help="which decisions  [default: all]"),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="gets the tables  [default: reports/advise]"),
    ] = None
    store: StoreOption = ""


Section = Callable[[str, Path], None]
"""Back-tests a decision on the store in a folder, prints its tables and keeps them in another,
where an interrupted run finds again what it had."""


def _sections() -> dict[str, Section]:
    """Return the back-test of each decision, by its name."""
    from pipelines.cli.advise import tried
    from pipelines.cli.advise.dated_run_backtest import dated_run_section

    return {
        "start": tried.start,
        "move": tried.move,
        "commit": tried.commit,
        "dated-run": dated_run_section,
        "budget": tried.budget,
    }


@with_options(BacktestOptions)
def backtest(options: BacktestOptions) -> int:
    """Would following the advice have paid?

    Decides week by week on what was known then, on offers known to be sold, and pays the prices
    that came; beside it what simple rules, and hindsight, would have paid, by half-year. Writes a
    table a decision; a run that was interrupted goes on where it stopped.
    """
    from cloudarb_lib.base import locations

    sections = _sections()
    names = options.decisions or list(sections)
    for name in names:
        if name not in sections:
            raise ParameterError(
                f"no decision {name!r}{did_you_mean(name, list(sections))}.",
                f"Use {', '.join(sections)}.",
            )
    out = options.out or locations.reports() / "advise"
    refuse_unwritable(out)
    for name in names:
        print(f"\n== {name}")
        sections[name](options.store, out / name)
    return DONE
