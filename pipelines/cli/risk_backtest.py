"""``cloudarb risk backtest``: did cost-at-risk hold up against what happened?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cloudarb_lib.base.errors import ParameterError
from pipelines.cli.history_file import StoreFolder, record_end, store_of
from pipelines.cli.manual import with_options
from pipelines.exit_codes import DONE

if TYPE_CHECKING:
    import pandas as pd

LEAST_WINDOWS = 100
"""Below so many windows the exact binomial is all that is worth saying."""
TESTS = ["kupiec", "independence", "conditional"]
"""Columns of p-values that count for a pass."""
SIGNIFICANCE = 0.05


class History(NamedTuple):
    """Prices to test on: provider ('' for those of a file), step of the grid, and steps ahead."""

    provider: str
    freq: str
    horizon: int

    @property
    def name(self) -> str:
        """What the tables call it."""
        return f"{self.provider or 'file'} {self.horizon} x {self.freq}"


BUNDLED = (
    History("aws", "1h", 24),
    History("gcp", "7D", 1),
    History("gcp", "7D", 4),
    History("gcp", "7D", 13),
)
"""AWS spot ticks at 24 h, GCP machines with a GPU at 1, 4 and 13 weeks."""


@dataclass(frozen=True)
class RiskBacktestOptions:
    """Options of the verb."""

    history: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="price file as for ingest  [default: bundled history]"),
    ] = None
    freq: Annotated[
        str | None,
        typer.Option(metavar="STEP", help="step of the price grid, with --history  [default: 7D]"),
    ] = None
    horizon: Annotated[
        int | None, typer.Option(metavar="STEPS", help="steps ahead, with --history  [default: 1]")
    ] = None
    level: Annotated[
        float, typer.Option(metavar="LEVEL", help="of VaR and CVaR, inside (0, 1)")
    ] = 0.95
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="folder of the tables  [default: reports/risk_backtest]"
        ),
    ] = None
    store: StoreFolder = ""


@with_options(RiskBacktestOptions)
def risk_backtest(options: RiskBacktestOptions) -> int:
    """Did cost-at-risk hold up against what happened?

    Forecasts cost-at-risk of plans on the machines that moved, window by window from what was known
    then, and tests it against the cost that came (Kupiec, Christoffersen, Acerbi and Szekely, each
    with its power): the bundled history at 24 hours and 1, 4 and 13 weeks, or a price file. Prints
    the verdicts; writes backtest.parquet and backtest_windows.parquet to reports/risk_backtest.
    """
    import pandas as pd

    from cloudarb_lib.base import locations

    histories = _histories(options)
    with store_of(options.history, options.store) as store_dir:
        results = [_back_tested(store_dir, history, options.level) for history in histories]
    verdicts = pd.concat([verdict for verdict, _ in results], ignore_index=True)
    windows = pd.concat([window for _, window in results], ignore_index=True)
    _print_verdicts(verdicts, options.level)
    out = options.out or locations.reports() / "risk_backtest"
    out.mkdir(parents=True, exist_ok=True)
    verdicts.to_parquet(out / "backtest.parquet", index=False)
    windows.to_parquet(out / "backtest_windows.parquet", index=False)
    print(f"\nwritten to {out}")
    return DONE


def _histories(options: RiskBacktestOptions) -> list[History]:
    """Return the histories asked for; ParameterError for a step or horizon without a file."""
    if options.history is not None:
        horizon = 1 if options.horizon is None else options.horizon
        return [History("", options.freq or "7D", horizon)]
    if options.freq or options.horizon is not None:
        raise ParameterError(
            "--freq and --horizon go with --history.", "Name a file, or leave them out."
        )
    return list(BUNDLED)


def _back_tested(
    store_dir: str, history: History, level: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return verdicts and windows of one history, each with column ``history``."""
    from functools import partial

    import pandas as pd

    from cloudarb_lib import store
    from cloudarb_lib.base import units
    from cloudarb_lib.base.progress import progress
    from cloudarb_lib.market.panel import to_panel
    from cloudarb_lib.risk.backtest import back_test

    now = pd.Timestamp.now("UTC")
    with store.open_snapshot(store_dir) as snapshot:
        events = snapshot.events(
            as_of=now,
            providers=[history.provider] if history.provider else None,
            gpu_only=history.provider == "gcp",
            purchase_options=["spot"] if history.provider == "aws" else None,
        )
        looks = snapshot.looks(as_of=now)
    on_grid = partial(
        to_panel,
        events,
        looks,
        freq=units.parse_freq(history.freq),
        as_of=record_end(events, history.name),
    )
    verdicts, windows = back_test(
        on_grid(how="last"),
        on_grid(how="mean"),
        horizon_steps=history.horizon,
        level=level,
        tick=partial(progress, label=history.name, unit="origin"),
    )
    return verdicts.assign(history=history.name), windows.assign(history=history.name)


def _print_verdicts(verdicts: pd.DataFrame, level: float) -> None:
    """Print each history's verdicts, and how often each model passes over all of them."""
    tables = []
    for name, group in verdicts.groupby("history", sort=False):
        n_windows = int(group["windows"].min())
        table = _means_over_starts(group)
        _print_history(str(name), table, n_windows, group["start"].nunique(), level)
        if n_windows >= LEAST_WINDOWS:
            tables.append(table)
    if tables:
        _print_passes(tables)


def _means_over_starts(group: pd.DataFrame) -> pd.DataFrame:
    """Return the means by model and plan; of tests the share of starts in which they are kept.

    ``passed`` is the share in which all of them are: a pair of plan and horizon counts by that.
    """
    kept = group.assign(**{test: group[test] >= SIGNIFICANCE for test in TESTS})
    kept["passed"] = kept[TESTS].all(axis=1)
    return kept.groupby(["model", "plan"], sort=False).mean(numeric_only=True)


def _print_history(
    name: str, table: pd.DataFrame, n_windows: int, n_starts: int, level: float
) -> None:
    """Print each plan under the default model, the models side by side, and the tests' power."""
    from cloudarb_lib.risk.backtest import DEFAULT, SIMPLE
    from cloudarb_lib.risk.coverage import power

    enough = n_windows >= LEAST_WINDOWS
    columns = ["exceedances", "rises", *(TESTS if enough else []), "binomial"]
    columns += ["z", "acerbi_szekely", "tick_loss_pct"]
    expected = (1 - level) * n_windows
    print(
        f"\n{name}: {n_windows} windows from each of {n_starts} starts, "
        f"{expected:.1f} exceedances expected; model {DEFAULT}: means over the starts"
        + (", of tests the share kept at 5 %" if enough else "")
    )
    print(table.loc[DEFAULT, columns].round(3).to_string())
    models = table.groupby("model", sort=False).agg({"passed": "sum", "tick_loss_pct": "mean"})
    shown = ["passed", "tick_loss_pct"] if enough else ["tick_loss_pct"]
    print(models[shown].round(3).to_string())
    loss = models["tick_loss_pct"]
    better = " and ".join(model for model in SIMPLE if loss[model] < loss[DEFAULT])
    print(f"tick loss: {DEFAULT} is beaten by {better or 'neither ' + ' nor '.join(SIMPLE)}")
    shares = (f"{test} {share:.0%}" for test, share in power(n_windows, level).items())
    print("power at 5 %: " + ", ".join(shares))


def _print_passes(tables: list[pd.DataFrame]) -> None:
    """Print for how many pairs of plan and horizon each model passes."""
    import pandas as pd

    from cloudarb_lib.risk.backtest import DEFAULT, FORECAST, SIMPLE

    for model in (DEFAULT, FORECAST, *SIMPLE):
        passed = pd.concat([table["passed"].loc[[model]] for table in tables])
        share = f"{passed.sum():.1f} of {len(passed)} plan-and-horizon pairs ({passed.mean():.0%})"
        print(f"{model} passes Kupiec and Christoffersen at 5 % for {share}")
