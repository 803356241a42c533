"""The back-tests of decisions on prices: their tables, printed and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.advice.backtest.record import SoldRecord

SEED = 7
UNTIL = "2026-04-29"
"""End of the bundled record of GCP, the one with evidence of sale for years of weekly prices."""
PROVIDERS = ["gcp"]


def start(store_dir: str, out: Path) -> None:
    """Try starting now or waiting, print and keep its table."""
    from cloudarb_lib.advice.backtest import start as tried

    table = _kept_on_paths(store_dir, out, tried.try_starts, horizon_weeks=tried.HORIZON_WEEKS)
    _print(table, tried.NOW, tried.ADVICE, tried.SIMPLE)


def move(store_dir: str, out: Path) -> None:
    """Try moving or staying, print and keep its table."""
    from cloudarb_lib.advice.backtest import move as tried

    table = _kept_on_paths(store_dir, out, tried.try_moves, horizon_weeks=tried.PAYBACK_WEEKS)
    _print(table, tried.STAY, tried.ADVICE, tried.SIMPLE)


def commit(store_dir: str, out: Path) -> None:
    """Try committing or waiting, print and keep its table."""
    from cloudarb_lib.advice.backtest import commit as tried

    record = _record(store_dir)
    table = _kept(record, out, lambda: tried.try_commitments(record))
    for is_certain, words in ((True, "known"), (False, "not known")):
        print(f"\nhow long the need lasts is {words}")
        mine = table[table["is_certain"] == is_certain]
        _print(mine, tried.BY_THE_HOUR, tried.ADVICE, tried.SIMPLE)
    print("a commitment for 3 years has not run out on the record: nothing is tried of it")


def budget(store_dir: str, out: Path) -> None:
    """Try what is stated of a plan's cost over a period, print and keep its table."""
    from cloudarb_lib.advice.backtest import budget as tried
    from cloudarb_lib.base.units import half_year

    horizon_weeks = max(tried.PERIOD_WEEKS)
    table = _kept_on_paths(store_dir, out, tried.try_budgets, horizon_weeks=horizon_weeks)
    table = table.assign(half_year=table["made_at"].map(half_year))
    print("cost of a held plan, stated and as it came; chances to be over shares of today's cost")
    print(tried.calibration(table, ["weeks"]).round(3).T.to_string())
    by_half = tried.calibration(table, ["weeks", "half_year"])
    columns = ["plans", "inside", "above", "p50_error", "today_error", "stated_1.0", "came_1.0"]
    print(by_half[columns].round(3).to_string())


def _record(store_dir: str) -> SoldRecord:
    from cloudarb_lib import store
    from cloudarb_lib.advice.backtest.record import SoldRecord
    from cloudarb_lib.base.units import parse_as_of
    from cloudarb_lib.market import read_market

    with store.open_snapshot(store_dir) as snapshot:
        market = read_market(
            snapshot, parse_as_of(UNTIL), providers=PROVIDERS, stale_after_days=14.0
        )
    record = SoldRecord.of(market)
    n_gone = int((market.states["state"] == "withdrawn").sum())
    print(
        f"{record.panel.price.shape[1]:,} offers known to be sold, weekly to {UNTIL}; "
        f"{n_gone} withdrawn before then are left out"
    )
    return record


def _kept_on_paths(
    store_dir: str, out: Path, attempt: Callable[..., pd.DataFrame], *, horizon_weeks: int
) -> pd.DataFrame:
    """Return what an attempt on the record and its sample paths gives, as from ``_kept``."""
    from cloudarb_lib.advice.backtest.record import SpotPaths
    from cloudarb_lib.tables.assumptions import load_assumptions

    record = _record(store_dir)

    def tried() -> pd.DataFrame:
        paths = SpotPaths.of(record, horizon=horizon_weeks, seed=SEED)
        return attempt(record, paths, load_assumptions())

    return _kept(record, out, tried)


def _kept(record: SoldRecord, out: Path, paid) -> pd.DataFrame:
    """Return what policies paid, read from ``out`` where the same code tried the same prices."""
    import pandas as pd

    from cloudarb_lib.base import locations
    from cloudarb_lib.base.digests import digest_files, digest_values
    from cloudarb_lib.base.files import replaced

    digest = digest_values(
        digest_files(sorted(locations.library().rglob("*.py"))),
        record.panel.price,
        record.panel.offers.to_csv(),
    )
    file = out / "paid.parquet"
    if file.exists():
        table = pd.read_parquet(file)
        if table.attrs.get("digest") == digest:
            return table
    table = paid()
    table.attrs["digest"] = digest
    out.mkdir(parents=True, exist_ok=True)
    with replaced(file) as unwritten:
        table.to_parquet(unwritten, index=False)
    return table


def _print(paid: pd.DataFrame, reference: str, advice: str, simple: list[str]) -> None:
    """Print costs, gaps closed and tails by half-year, and the verdict in words."""
    from cloudarb_lib.advice.backtest import score

    table = score.by_half_year(paid, reference=reference)
    print(f"cost beside {reference}, by half-year of the decision (mean of shares)")
    print(table["cost"].unstack("half_year").round(4).to_string())
    print("share of the gap to hindsight that is closed")
    print(table["gap_closed"].unstack("half_year").round(2).to_string())
    print("cost in the worst twentieth of decisions")
    print(table["cvar95"].unstack("half_year").round(3).to_string())
    if "moves" in table:
        print("moves a decision")
        print(table["moves"].unstack("half_year").round(1).to_string())
    print(score.verdict(table, advice, simple))
