"""``cloudarb backtest``: what the forecasts of the past would have been worth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

SEED = 7
OTHERS = 200  # series of kind other, drawn with SEED


class Setting(NamedTuple):
    """One panel to score: ``kind`` of prices (auction, market, gpu, other, or own: all of a file that move), the
    grid, and from where to forecast how far."""

    name: str
    kind: str
    freq: str
    horizons: list[int]
    origins: int
    span: str
    until: str = ""


BUNDLED = (
    Setting("aws-ticks", "auction", "1h", [1, 24, 168], 40, "42d", "2015-09-01T00:00Z"),
    Setting("marketplace", "market", "1h", [1, 6, 24], 40, "7d", "2025-11-09T18:00Z"),
    *(
        Setting(
            f"gcp-spot-{kind}{since}",
            kind,
            "7d",
            [1, 2, 4, 8, 13],
            n,
            f"{7 * n}d",
            "2026-04-29T00:00Z",
        )
        for kind in ("gpu", "other")
        for since, n in (("", 52), ("-from-2025-11", 25))
    ),
)
OWN = Setting("file", "own", "1h", [1, 24, 168], 40, "42d")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add(
        "--history",
        type=Path,
        metavar="FILE",
        help="price file as for ingest (default: bundled panels)",
    )
    add(
        "--panel",
        choices=[s.name for s in BUNDLED],
        help="one of the bundled panels (default: all)",
    )
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
    from cloudarb_lib.base import locations
    from cloudarb_lib.base.errors import ParameterError
    from cloudarb_lib.forecast import headline
    from pipelines.history_file import store_of

    own = {n: getattr(given, n) for n in ("freq", "horizons", "origins", "span")}
    own = {name: value for name, value in own.items() if value is not None}
    if given.history is None and own:
        raise ParameterError(
            f"--{next(iter(own))} goes with --history.", "Name a file, or leave it out."
        )
    if given.history is not None and given.panel:
        raise ParameterError("--panel and --history exclude each other.", "Leave one out.")
    if "horizons" in own:
        try:
            own["horizons"] = [int(h) for h in own["horizons"].split(",")]
        except ValueError:
            what = f"--horizons {own['horizons']!r} are not whole numbers."
            raise ParameterError(what, "Write 1,24.") from None
    out = given.out or locations.reports() / "backtest"
    settings = (
        [s for s in BUNDLED if given.panel in (None, s.name)] if given.history is None else [OWN]
    )
    with store_of(given.history, given.store) as store_dir:
        for setting in settings:
            place = out / setting.name if given.history is None else out
            scores = _scored(prepare(setting._replace(**own), store_dir), place)
            print(
                f"\n{setting.name}: {scores['series_id'].nunique()} series, by model and horizon (steps)"
            )
            print(headline(scores).round(3).to_string())
            mine = scores[scores["model"] == "ensemble"]
            held = [(mine[name] * mine["n"]).sum() / mine["n"].sum() for name in ("pit80", "pit95")]
            print(
                f"of all outcomes, 80 % intervals hold {held[0]:.1%}, 95 % ones {held[1]:.1%} (randomised PIT)"
            )
            hour = mine[mine["horizon"] == 1]
            if setting.freq == "1h" and len(hour):
                accuracy, rmse, mae = (
                    1 - hour["mape"].mean(),
                    hour["rmse"].mean(),
                    hour["mae"].mean(),
                )
                print(
                    f"1 step ahead: accuracy (1 - MAPE) {accuracy:.1%}, RMSE {rmse:.3f}, MAE {mae:.3f} USD/h "
                    "(published, an hour ahead on other series: 96.7 %, 0.016, 0.012)"
                )
            print(f"written to {place / 'scores.parquet'}")
    return 0


def _scored(task: dict[str, Any], place: Path) -> pd.DataFrame:
    """Return the scores of ``task``, written to scores.parquet in folder ``place``; from there where the same
    prices were scored before by the same code. An interrupted run finds again what slow members said."""
    import shutil

    import pandas as pd

    from cloudarb_lib import forecast
    from cloudarb_lib.base import locations
    from cloudarb_lib.base.files import replaced
    from cloudarb_lib.tables.run_tables import digest
    from pipelines import files

    code, panel = files.digest(sorted(locations.library().rglob("*.py"))), task["panel"]
    known = digest(
        code,
        panel.price,
        panel.offers.to_csv(),
        str(panel.times[:2]),
        task["origins"],
        task["tick"],
        task["listed"].price,
    )
    file, unfinished = place / "scores.parquet", place / "unfinished"
    if file.exists():
        scores = pd.read_parquet(file)
        if scores.attrs.get("digest") == known:
            return scores
    scores = forecast.walk_forward(**task, seed=SEED, keep=unfinished / known).scores
    scores.attrs["digest"] = known
    with replaced(file) as part:
        scores.to_parquet(part, index=False)
    shutil.rmtree(unfinished, ignore_errors=True)
    return scores


def prepare(setting: Setting, store_dir: str) -> dict[str, Any]:
    """Return what ``walk_forward`` takes: panel, origins by horizon, tick, the prices at the end of cells, and listed, on-demand prices of the
    same machines.

    Cells shorter than a day hold their time-weighted mean price (and the price at their end is one more peer),
    longer ones the price in force at their end, as a look sees it.
    """
    import numpy as np
    import pandas as pd

    from cloudarb_lib import store
    from cloudarb_lib.base import units
    from cloudarb_lib.forecast import is_moving, splits
    from cloudarb_lib.market import history
    from pipelines.history_file import record_end

    step, span = units.parse_freq(setting.freq), units.parse_freq(setting.span)
    with store.open_snapshot(store_dir) as snapshot:
        as_of = setting.until or pd.Timestamp("2262-01-01", tz="UTC")
        events, looks = snapshot.events(as_of=as_of), snapshot.looks(as_of=as_of)
    auction, spot = events["source"].eq("aws-spot-2015"), events["purchase_option"].eq("spot")
    listed = spot & events["provider"].eq("gcp")
    all_listed = events[
        events["purchase_option"].eq("on_demand") & ~events["price_kind"].eq("market")
    ]
    events = events[
        {
            "auction": auction,
            "market": events["price_kind"].eq("market") & ~auction,
            "gpu": listed & events["gpu_model"].notna(),
            "other": listed & events["gpu_model"].isna(),
            "own": events["source"].notna(),
        }[setting.kind]
    ]
    end = setting.until or record_end(events, setting.name).floor(step)
    short = step < pd.Timedelta(days=1)
    panel = history.to_panel(events, looks, freq=step, as_of=end, how="mean" if short else "last")
    ticks = history.to_panel(events, looks, freq=step, as_of=end) if short else None
    if setting.kind == "market":
        panel, ticks = (history.cheapest(p, ["provider", "gpu_model"]) for p in (panel, ticks))
    first = max(len(panel.times) - 1 - int(span / step), 1)
    asked = {"first": first, "horizons": setting.horizons, "origins": setting.origins}
    origins = splits.spaced(len(panel.times), **asked)
    keep = np.isfinite(panel.price[first:]).any(axis=0)
    if setting.kind == "own" and (moves := is_moving(panel.offers)).any():
        keep &= moves
    if setting.kind == "other":
        keep = np.random.default_rng(SEED).choice(np.flatnonzero(keep), OTHERS, replace=False)
        keep.sort()
    tick, panel = None if ticks is None else ticks.price[:, keep], panel.select(keep)
    machine = ["provider", "region", "instance_type"]
    same = pd.MultiIndex.from_frame(all_listed[machine]).isin(
        pd.MultiIndex.from_frame(panel.offers[machine])
    )
    listed = history.to_panel(
        all_listed[same], looks, freq=step, as_of=end, start=panel.times[0] - step
    )
    return {"panel": panel, "origins": origins, "tick": tick, "listed": listed}
