"""``cloudarb backtest``: what the forecasts of the past would have been worth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cloudarb_lib.types import Panel

SEED = 7


class Setting(NamedTuple):
    """One panel to score: which prices, the grid, and from where to forecast how far."""

    name: str
    freq: str
    horizons: list[int]
    origins: int
    span: str
    until: str = ""


BUNDLED = (
    Setting("aws-ticks", "1h", [1, 24, 168], 40, "42d", "2015-09-01T00:00Z"),
    Setting("marketplace", "1h", [1, 6, 24], 40, "7d", "2025-11-09T18:00Z"),
    Setting("gcp-spot-gpu", "7d", [1, 2, 4, 8, 13], 52, "364d", "2026-04-29T00:00Z"),
    Setting("gcp-spot-gpu-from-2025-11", "7d", [1, 2, 4, 8, 13], 25, "175d", "2026-04-29T00:00Z"),
    Setting("gcp-spot-other", "7d", [1, 2, 4, 8, 13], 52, "364d", "2026-04-29T00:00Z"),
    Setting("gcp-spot-other-from-2025-11", "7d", [1, 2, 4, 8, 13], 25, "175d", "2026-04-29T00:00Z"),
)
OTHERS = 200  # series of gcp-spot-other, drawn with SEED
OWN = Setting("file", "1h", [1, 24, 168], 40, "42d")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("--history", type=Path, metavar="FILE", help="price file as for ingest (default: bundled panels)")
    add("--panel", choices=[s.name for s in BUNDLED], help="one of the bundled panels (default: all)")
    add("--freq", help=f"step of the grid, with --history (default {OWN.freq})")
    add("--horizons", metavar="STEPS,...", help="steps ahead, with --history (default 1,24,168)")
    add("--origins", type=int, help=f"how many origins, with --history (default {OWN.origins})")
    add("--span", help=f"time from the first origin to the end of the record (default {OWN.span})")
    add("--out", type=Path, help="folder of scores.parquet (default: reports/backtest)")
    add("--store", default="", help="folder of the store, without --history (default: data/store)")


def carry_out(given: argparse.Namespace) -> int:
    """Print the scores by model and horizon, write scores.parquet (with --history, else one folder a panel).

    ParameterError for settings that do not fit, DataError for a file that cannot be read or is too short.
    """
    from cloudarb_lib.errors import ParameterError
    from cloudarb_lib.forecast.backtest import headline, score_series
    from pipelines.history_file import store_of
    from pipelines.run import REPORTS

    own = [n for n in ("freq", "horizons", "origins", "span") if getattr(given, n) is not None]
    if given.history is None and own:
        raise ParameterError(f"--{own[0]} goes with --history.", "Name a file, or leave it out.")
    if given.history is not None and given.panel:
        raise ParameterError("--panel and --history exclude each other.", "Leave one out.")
    out = given.out or REPORTS / "backtest"
    settings = [s for s in BUNDLED if given.panel in (None, s.name)]
    if given.history is not None:
        settings = [_own(given)]
    with store_of(given.history, given.store) as store_dir:
        for setting in settings:
            panel, origins, tick = prepare(setting, store_dir)
            scores = score_series(panel, origins=origins, seed=SEED, tick=tick)
            place = out if given.history is not None else out / setting.name
            place.mkdir(parents=True, exist_ok=True)
            scores.to_parquet(place / "scores.parquet", index=False)
            print(f"\n{setting.name}: {scores['series_id'].nunique()} series, by model and horizon (steps)")
            print(headline(scores).round(3).to_string())
            hour = scores[(scores["horizon"] == 1) & (scores["model"] == "ensemble")]
            if setting.freq == "1h" and len(hour):
                accuracy, rmse, mae = 1 - hour["mape"].mean(), hour["rmse"].mean(), hour["mae"].mean()
                print(
                    f"1 hour ahead: accuracy (1 - MAPE) {accuracy:.1%}, RMSE {rmse:.3f}, MAE {mae:.3f} USD/h "
                    "(published on other series: 96.7 %, 0.016, 0.012)"
                )
            print(f"written to {place / 'scores.parquet'}")
    return 0


def _own(given: argparse.Namespace) -> Setting:
    from cloudarb_lib.errors import ParameterError

    try:
        horizons = [int(h) for h in given.horizons.split(",")] if given.horizons else OWN.horizons
    except ValueError as cause:
        raise ParameterError(
            f"--horizons {given.horizons!r} are not whole numbers.", "Write 1,24."
        ) from cause
    origins = OWN.origins if given.origins is None else given.origins
    if origins < 1:
        raise ParameterError(f"--origins is {origins}.", "Score at least one origin.")
    return Setting("file", given.freq or OWN.freq, horizons, origins, given.span or OWN.span)


def prepare(setting: Setting, store_dir: str) -> tuple[Panel, dict[int, np.ndarray], np.ndarray | None]:
    """Return what ``score_series`` takes: the panel, origins by horizon, and prices at the end of cells.

    Cells shorter than a day hold their time-weighted mean price (and the price at their end is one more peer),
    longer ones the price in force at their end, as a look sees it.
    """
    import numpy as np
    import pandas as pd

    from cloudarb_lib import history, store, units
    from cloudarb_lib.errors import ParameterError
    from cloudarb_lib.forecast import is_moving
    from pipelines.history_file import record_end

    step, span = units.parse_freq(setting.freq), units.parse_freq(setting.span)
    with store.open_snapshot(store_dir) as snapshot:
        as_of = setting.until or pd.Timestamp("2262-01-01", tz="UTC")
        events, looks = snapshot.events(as_of=as_of), snapshot.looks(as_of=as_of)
    if setting.name != OWN.name:
        events = events[_bundled(events, setting.name)]
    seen = record_end(events, setting.name)
    end = setting.until or seen.floor(step)
    short = step < pd.Timedelta(days=1)
    panel = history.to_panel(events, looks, freq=step, as_of=end, how="mean" if short else "last")
    ticks = history.to_panel(events, looks, freq=step, as_of=end) if short else None
    if setting.name == "marketplace":
        panel, ticks = (history.cheapest(p, ["provider", "gpu_model"]) for p in (panel, ticks))
    ends = {h: len(panel.times) - 1 - h for h in setting.horizons}
    first = max(len(panel.times) - 1 - int(span / step), 1)
    if min(ends.values()) < first:
        raise ParameterError(
            f"{len(panel.times)} cells of {setting.freq} are too few for horizons {setting.horizons} in "
            f"{setting.span}.", "Use shorter horizons, a longer span or a longer record.",
        )  # fmt: skip
    origins = {
        h: np.unique(np.linspace(first, end, setting.origins).round().astype(int)) for h, end in ends.items()
    }
    keep = np.isfinite(panel.price[first:]).any(axis=0)
    if setting.name == OWN.name and is_moving(panel.offers).any():
        keep &= is_moving(panel.offers)
    if setting.name.startswith("gcp-spot-other"):
        drawn = np.random.default_rng(SEED).choice(np.flatnonzero(keep), OTHERS, replace=False)
        keep = np.isin(np.arange(len(keep)), drawn)
    tick = None if ticks is None else ticks.price[:, keep]
    return panel.select(keep), origins, tick


def _bundled(events: pd.DataFrame, name: str) -> pd.Series:
    """Return which events belong to a bundled panel."""
    spot = events["provider"].eq("gcp") & events["purchase_option"].eq("spot")
    gpu, auction = events["gpu_model"].notna(), events["source"].eq("aws-spot-2015")
    return {
        "aws-ticks": auction, "marketplace": events["price_kind"].eq("market") & ~auction,
        "gcp-spot-gpu": spot & gpu, "gcp-spot-other": spot & ~gpu,
    }[name.removesuffix("-from-2025-11")]  # fmt: skip
