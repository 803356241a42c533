"""``cloudarb advise``: one decision a verb, and whether following the advice would have paid."""

from __future__ import annotations

import typer

from pipelines.cli.advise import backtest, budget, commit, dated_run, move, reserve, start
from pipelines.cli.manual import Verb

advise_app = typer.Typer(
    help="Decisions: what to do now, and would it have paid.",
    subcommand_metavar="DECISION ...",
    options_metavar="",
    rich_markup_mode=None,
)
advise_app.command("budget", cls=Verb, options_metavar="--as-of DAY --budget USD [OPTIONS]")(
    budget.budget
)
advise_app.command("commit", cls=Verb, options_metavar="--as-of DAY [OPTIONS]")(commit.commit)
advise_app.command("dated-run", cls=Verb, options_metavar="--as-of DAY --deadline TIME [OPTIONS]")(
    dated_run.dated_run
)
advise_app.command("reserve", cls=Verb, options_metavar="--as-of DAY --deadline TIME [OPTIONS]")(
    reserve.reserve
)
advise_app.command("move", cls=Verb, options_metavar="--as-of DAY [OPTIONS]")(move.move)
advise_app.command("start", cls=Verb, options_metavar="--as-of DAY --by DAY [OPTIONS]")(start.start)
advise_app.command("backtest", cls=Verb, options_metavar="[OPTIONS]")(backtest.backtest)
