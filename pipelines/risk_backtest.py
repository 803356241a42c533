"""``cloudarb risk backtest``: did cost-at-risk hold up against what happened?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

BUNDLED = (("aws", "1h", 24), ("gcp", "7D", 1), ("gcp", "7D", 4), ("gcp", "7D", 13))
"""Provider, step and steps ahead: AWS spot ticks at 24 h, GCP machines with a GPU at 1, 4 and 13 weeks."""
LEAST_WINDOWS = 100
"""Below so many windows the exact binomial is all that is worth saying."""
TESTS = ["kupiec", "independence", "conditional"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add(
        "--history",
        type=Path,
        metavar="FILE",
        help="price file as for ingest (default: bundled history)",
    )
    add("--freq", help="step of the price grid, with --history (default 7D)")
    add("--horizon", type=int, metavar="STEPS", help="steps ahead, with --history (default 1)")
    add("--level", type=float, default=0.95, help="of VaR and CVaR, inside (0, 1) (default 0.95)")
    add("--out", type=Path, help="folder of the tables (default: reports/risk_backtest)")
    add("--store", default="", help="folder of the store, without --history (default: data/store)")


def carry_out(given: argparse.Namespace) -> int:
    """Print the verdicts, write backtest.parquet and backtest_windows.parquet; return 0.

    ParameterError for a step or horizon without a history of one's own, DataError for a file that cannot be
    read or is too short.
    """
    import pandas as pd

    from cloudarb_lib.base import locations
    from cloudarb_lib.base.errors import ParameterError
    from pipelines.history_file import store_of

    settings: list[tuple[str, str, int]] = list(BUNDLED)
    if given.history is not None:
        settings = [("", given.freq or "7D", 1 if given.horizon is None else given.horizon)]
    elif given.freq or given.horizon is not None:
        raise ParameterError(
            "--freq and --horizon go with --history.", "Name a file, or leave them out."
        )
    with store_of(given.history, given.store) as store_dir:
        results = [_one(store_dir, setting, given.level) for setting in settings]
    verdicts, windows = (
        pd.concat(parts, ignore_index=True) for parts in zip(*results, strict=True)
    )
    _say(verdicts, given.level)
    out = given.out or locations.reports() / "risk_backtest"
    out.mkdir(parents=True, exist_ok=True)
    verdicts.to_parquet(out / "backtest.parquet", index=False)
    windows.to_parquet(out / "backtest_windows.parquet", index=False)
    print(f"\nwritten to {out}")
    return 0


def _one(store_dir: str, setting: tuple[str, str, int], level: float) -> list[pd.DataFrame]:
    """Return verdicts and windows of one setting, each with column ``history``."""
    from functools import partial

    import pandas as pd

    from cloudarb_lib import store
    from cloudarb_lib.base import units
    from cloudarb_lib.base.progress import progress
    from cloudarb_lib.market import history
    from cloudarb_lib.risk.backtest import back_test
    from pipelines.history_file import record_end

    (provider, freq, horizon), now = setting, pd.Timestamp.now("UTC")
    name = f"{provider or 'file'} {horizon} x {freq}"
    with store.open_snapshot(store_dir) as snapshot:
        events = snapshot.events(
            as_of=now,
            providers=[provider] if provider else None,
            gpu_only=provider == "gcp",
            purchase_options=["spot"] if provider == "aws" else None,
        )
        looks = snapshot.looks(as_of=now)
    grid = {"freq": units.parse_freq(freq), "as_of": record_end(events, name)}
    last, mean = (history.to_panel(events, looks, how=how, **grid) for how in ("last", "mean"))
    found = back_test(
        last,
        mean,
        horizon_steps=horizon,
        level=level,
        tick=partial(progress, label=name, unit="origin"),
    )
    return [table.assign(history=name) for table in found]


def _say(verdicts: pd.DataFrame, level: float) -> None:
    """Print each plan under the default model, the models beside each other, and the tests' power.

    A pair of plan and horizon counts by the share of its starts in which it passes.
    """
    import pandas as pd

    from cloudarb_lib.risk.backtest import DEFAULT, FORECAST, SIMPLE
    from cloudarb_lib.risk.coverage import power

    pairs: list[pd.DataFrame] = []
    for name, group in verdicts.groupby("history", sort=False):
        n, starts = int(group["windows"].min()), group["start"].nunique()
        enough = n >= LEAST_WINDOWS
        kept = group.assign(**{test: group[test] >= 0.05 for test in TESTS})
        kept["passed"] = kept[TESTS].all(axis=1)
        table = kept.groupby(["model", "plan"], sort=False).mean(numeric_only=True)
        columns = ["exceedances", "rises", *(TESTS if enough else []), "binomial"]
        columns += ["z", "acerbi_szekely", "tick_loss_pct"]
        print(
            f"\n{name}: {n} windows from each of {starts} starts, {(1 - level) * n:.1f} exceedances expected; "
            f"model {DEFAULT}: means over the starts" + ", of tests the share kept at 5 %" * enough
        )
        print(table.loc[DEFAULT, columns].round(3).to_string())
        board = table.groupby("model", sort=False).agg({"passed": "sum", "tick_loss_pct": "mean"})
        print(board.iloc[:, 1 - enough :].round(3).to_string())
        loss = board["tick_loss_pct"]
        beaten = " and ".join(m for m in SIMPLE if loss[m] < loss[DEFAULT])
        print(f"tick loss: {DEFAULT} is beaten by {beaten or 'neither ' + ' nor '.join(SIMPLE)}")
        print(
            "power at 5 %: " + ", ".join(f"{t} {share:.0%}" for t, share in power(n, level).items())
        )
        pairs += [table] if enough else []
    for model in (DEFAULT, FORECAST, *SIMPLE) if pairs else ():
        passed = pd.concat([table.loc[model, "passed"] for table in pairs])
        share = f"{passed.sum():.1f} of {len(passed)} plan-and-horizon pairs ({passed.mean():.0%})"
        print(f"{model} passes Kupiec and Christoffersen at 5 % for {share}")
