"""The section on dated runs of ``cloudarb advise backtest``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.advice.dated.backtest import Case

STATED_BOUNDS = (-0.01, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.0)
"""Classes of the stated chance to be late."""


def dated_run_section(_store_dir: str, out: Path) -> None:
    """Score dated runs on recorded availability, trace by trace; what is there already is kept."""
    import pandas as pd

    from cloudarb_lib.advice.dated import backtest
    from cloudarb_lib.advice.dated.traces import load_traces
    from cloudarb_lib.base.progress import progress
    from cloudarb_lib.tables.assumptions import load_assumptions

    share = load_assumptions().get("spot_share_of_on_demand/V100")
    found = list(backtest.cases(load_traces()))
    scored = []
    stated = []
    for case in progress(found, "dated runs", unit="trace"):
        folder = out / case.trace.name.replace(" ", "_")
        scored.append(_kept(folder / "costs.parquet", backtest.back_test, case, share))
        stated.append(_kept(folder / "stated.parquet", backtest.back_test_stated, case, share))
    costs = pd.concat(scored, ignore_index=True)
    chances = pd.concat(stated, ignore_index=True)
    costs.to_parquet(out / "costs.parquet", index=False)
    chances.to_parquet(out / "stated.parquet", index=False)
    _print_costs(costs)
    _print_stated(chances)


def _kept(
    file: Path, score: Callable[[Case, float], pd.DataFrame], case: Case, spot_share: float
) -> pd.DataFrame:
    """Return a table of an earlier run by the same code on the same trace, or score and keep it."""
    import pandas as pd

    from cloudarb_lib.base import locations
    from cloudarb_lib.base.digests import digest_files, digest_values
    from cloudarb_lib.base.files import replaced

    code = sorted((locations.library() / "advice" / "dated").glob("*.py"))
    digest = digest_values(digest_files(code), case.trace.up, spot_share)
    if file.is_file():
        table = pd.read_parquet(file)
        if table.attrs.get("digest") == digest:
            return table
    table = score(case, spot_share)
    table.attrs["digest"] = digest
    file.parent.mkdir(parents=True, exist_ok=True)
    with replaced(file) as unwritten:
        table.to_parquet(unwritten, index=False)
    return table


def _print_costs(costs: pd.DataFrame) -> None:
    """Print cost over hindsight by number of zones, by time to spare, by restart and in all."""
    from cloudarb_lib.advice.dated import backtest
    from cloudarb_lib.advice.dated.run import BEST

    best = costs[costs["rule"] == BEST]
    runs = f"{best['starts'].sum():,} runs of {backtest.WORK_H:g} h"
    print(f"{runs}, learned from the first half of each trace; cost over hindsight")
    for by in (["zones"], ["slack"], ["restart_h"], []):
        print(backtest.summary(costs, by).round(3).to_string())
    said = best["stated"].sum() / best["cost"].sum()
    print(f"the best policy's own expectation: {said:.3f} of what it cost")


def _print_stated(chances: pd.DataFrame) -> None:
    """Print stated chances and ranges beside what came."""
    import pandas as pd

    classes = pd.cut(chances["p_late"], STATED_BOUNDS)
    late = chances.groupby(classes, observed=True).agg(
        runs=("late", "size"), stated=("p_late", "mean"), came=("late", "mean")
    )
    print("\nspot alone, nothing behind it: chance to be late, stated and as it came")
    print(late.round(3).to_string())
    inside = chances["cost"].between(chances["p10"] - 1e-9, chances["p90"] + 1e-9)
    above = chances["cost"] > chances["p90"] + 1e-9
    by_zones = pd.DataFrame({"inside": inside, "above": above}).groupby(chances["zones"]).mean()
    print("\nbest policy: share of runs whose cost came inside the stated P10 to P90, and above it")
    print(by_zones.round(3).to_string())
    print(f"all: inside {inside.mean():.3f}, above {above.mean():.3f}")
