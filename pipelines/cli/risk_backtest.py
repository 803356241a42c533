"""``cloudarb risk backtest``: did cost-at-risk hold up against what happened?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloudarb_lib.base.errors import ParameterError
from pipelines.cli.folders import refuse_unwritable
from pipelines.cli.history_file import StoreFolder, record_end, store_of
from pipelines.cli.manual import with_options
from pipelines.exit_codes import DONE

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.base.types import Panel

PROVIDER = "gcp"
"""Whose record is tested: the one with spot prices of GPUs over years."""
FREQ = "7D"
HORIZONS = (1, 4, 13)
"""Weeks; the last is that of the pages."""
FRESH_DAYS = 14.0
"""Age of a price up to which a record is of today, as on the pages."""
PANELS = ("last", "mean")
"""Prices at the end of each cell, and means over it."""
SHOWN = {
    "plans": "plans",
    "windows": "windows",
    "rate": "exceeded %",
    "low": "from %",
    "high": "to %",
    "p_value": "p",
    "power_double": "power x2",
    "power_fifth": "power /5",
    "bias_pct": "bias %",
    "var_pct": "VaR %",
    "worst_pct": "worst %",
    "var_over_worst": "VaR/worst",
    "cvar_pct": "CVaR %",
    "tail_ratio": "tail",
    "no_p_since": "no p since",
}
"""Columns of the verdict and what the table calls them."""
EXPLAINED = """\
exceeded: share of windows and plans whose cost was beyond expected cost + VaR; a right model lies
between from and to in 95 of 100 cases, windows that overlap and plans that move together counted
as such. p: how likely a right model is as far off; blank where no rate on that side of the
stated one, not even 0 or 100 %, would be refused: the test cannot tell (no p since). power: how
often it finds out a VaR exceeded twice as often as stated, and a fifth as often. In % of the
cost at the prices of the origin: bias, mean cost over the expected cost; VaR and CVaR, means
over the expected cost; worst, the largest loss that came. VaR/worst: of a plan, the largest VaR
stated over the largest loss that came, the median of plans. tail: losses beyond VaR over what
CVaR says they are, 1 if right."""


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
        int | None, typer.Option(metavar="STEPS", help="steps ahead, with --history  [default: 13]")
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

    Of every week of the record: plans are chosen at its prices, VaR and CVaR of their cost over 1,
    4 and 13 weeks stated as the pages state them, and compared with the cost that came; pooled over
    plans, with the test's power, and by half-year. Offers that are sold, on the bundled history of
    GCP, or a price file. Prints the verdicts; writes backtest.parquet and backtest_windows.parquet
    to reports/risk_backtest.
    """
    from functools import partial

    from cloudarb_lib.base import locations
    from cloudarb_lib.base.progress import progress
    from cloudarb_lib.risk.backtest import back_test, verdicts, verdicts_by_half_year

    horizons = _horizons(options)
    out = options.out or locations.reports() / "risk_backtest"
    refuse_unwritable(out)
    with store_of(options.history, options.store) as store_dir:
        last, mean = panels(store_dir, options.history, options.freq)
    windows = back_test(
        last,
        mean,
        horizons=horizons,
        level=options.level,
        tick=partial(progress, label="back-test", unit="origin"),
    )
    verdict = verdicts(windows, options.level)
    _print_verdicts(verdict, verdicts_by_half_year(windows, options.level), options.level)
    out.mkdir(parents=True, exist_ok=True)
    verdict.to_parquet(out / "backtest.parquet", index=False)
    windows.to_parquet(out / "backtest_windows.parquet", index=False)
    print(f"\nwritten to {out}")
    return DONE


def _horizons(options: RiskBacktestOptions) -> tuple[int, ...]:
    """Return the horizons asked for; ParameterError for a step or horizon without a file."""
    if options.history is not None:
        return (HORIZONS[-1] if options.horizon is None else options.horizon,)
    if options.freq or options.horizon is not None:
        raise ParameterError(
            "--freq and --horizon go with --history.", "Name a file, or leave them out."
        )
    return HORIZONS


def panels(store_dir: str, history: Path | None, freq: str | None) -> tuple[Panel, Panel]:
    """Return prices at the end of each cell and means over it, of what is sold.

    Parameters
    ----------
    store_dir : str
        Folder of the store; '' is data/store.
    history : Path or None
        The file that the store holds alone: what is in it is taken as sold, by all providers.
    freq : str or None
        Width of a cell, ``FREQ`` if None.
    """
    import pandas as pd

    from cloudarb_lib import store
    from cloudarb_lib.base import units
    from cloudarb_lib.market import read_market
    from cloudarb_lib.market.panel import to_panel

    now = pd.Timestamp.now("UTC")
    step = units.parse_freq(freq or FREQ)
    with store.open_snapshot(store_dir) as snapshot:
        providers = [PROVIDER] if history is None else None
        events = snapshot.events(as_of=now, providers=providers)
        looks = snapshot.looks(as_of=now)
        end = record_end(events, PROVIDER if history is None else str(history))
        as_of = units.parse_as_of(f"{end:%Y-%m-%d}")  # the whole of its last day, as a page's
        if history is None:
            market = read_market(
                snapshot, as_of, providers=[PROVIDER], stale_after_days={"*": FRESH_DAYS}
            )
            return market.panel(step), market.panel(step, how="mean")
    last, mean = (to_panel(events, looks, freq=step, as_of=as_of, how=how) for how in PANELS)
    return last, mean


def _print_verdicts(verdicts: pd.DataFrame, by_half_year: pd.DataFrame, level: float) -> None:
    """Print by horizon, under the model of the pages, each kind of plan and each half-year, then
    all models."""
    from cloudarb_lib.risk.backtest import TRUSTED

    for horizon, of_horizon in verdicts.groupby("horizon", sort=True):
        print(f"\n{horizon} steps ahead, VaR {100 * level:g} %, model of the pages ({TRUSTED})")
        print(_shown(of_horizon[of_horizon["model"] == TRUSTED].set_index("kind")))
        began = by_half_year[by_half_year["horizon"] == horizon].set_index("half_year")
        print(f"\n{horizon} steps ahead, all plans, by the half-year in which windows began")
        print(_shown(began))
        print(f"\n{horizon} steps ahead, all plans, beside models of these offers' history alone")
        print(_shown(of_horizon[of_horizon["kind"] == "all plans"].set_index("model")))
    print(f"\n{EXPLAINED}")


def _shown(table: pd.DataFrame) -> str:
    """Return the columns of ``SHOWN`` as text, shares in %."""
    shares = ["rate", "low", "high"]
    columns = table[list(SHOWN)].copy()
    columns[shares] = 100.0 * columns[shares]
    decimals = dict.fromkeys(("p_value", "power_double", "power_fifth", "tail_ratio"), 2)
    rounded = columns.round(dict.fromkeys(SHOWN, 1) | {"var_over_worst": 2} | decimals)
    return rounded.rename(columns=SHOWN).to_string(na_rep="")
