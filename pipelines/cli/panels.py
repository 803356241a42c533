"""The panels on which forecasts are scored: bundled ones, and a price file of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cloudarb_lib.base.types import Panel

SEED = 7
OTHERS = 200
"""Series of kind other that are scored, drawn with SEED."""
Kind = Literal["auction", "market", "gpu", "other", "own"]


@dataclass(frozen=True)
class Setting:
    """One panel to score.

    Parameters
    ----------
    name : str
        What the panel is called.
    kind : str
        Which prices: of auctions, of marketplaces, list prices of machines with a GPU or of other
        ones, or own: all of a file that move.
    freq : str
        Step of the price grid.
    horizons : tuple of int
        Steps ahead.
    origins : int
        How many times to forecast from.
    span : str
        Time from the first origin to the end of the record.
    until : str
        End of the record; '' for the last price there is.
    since : str
        Origins from this day on are scored as a span of their own; '' for none.
    """

    name: str
    kind: Kind
    freq: str
    horizons: tuple[int, ...]
    origins: int
    span: str
    until: str = ""
    since: str = ""


LIST_WEEKS = 121
"""An origin in each week from January 2024 to the end of GCP's record in April 2026."""


def _list_prices(name: str, kind: Kind) -> Setting:
    """Return the setting for GCP's spot prices."""
    return Setting(
        name=name,
        kind=kind,
        freq="7d",
        horizons=(1, 2, 4, 8, 13),
        origins=LIST_WEEKS,
        span=f"{7 * LIST_WEEKS}d",
        until="2026-04-29T00:00Z",
        since="2025-11-01",
    )


BUNDLED = (
    Setting(
        name="aws-ticks",
        kind="auction",
        freq="1h",
        horizons=(1, 24, 168),
        origins=40,
        span="42d",
        until="2015-09-01T00:00Z",
    ),
    Setting(
        name="marketplace",
        kind="market",
        freq="1h",
        horizons=(1, 6, 24),
        origins=40,
        span="7d",
        until="2025-11-09T18:00Z",
    ),
    _list_prices("gcp-spot-gpu", "gpu"),
)
"""The panels of the bundled history: offers that are known to be sold."""
WITHOUT_EVIDENCE = (_list_prices("gcp-spot-other", "other"),)
"""Scored where they are asked for by name: nothing on record says where these are sold."""
OWN = Setting(name="file", kind="own", freq="1h", horizons=(1, 24, 168), origins=40, span="42d")
"""What holds for a price file where nothing else is asked for."""


def prepare(setting: Setting, store_dir: str) -> dict[str, Any]:
    """Return the panel of a setting, and what else ``walk_forward`` takes.

    Of list prices of machines with a GPU those known, by the end of the record, to be sold.
    Cells shorter than a day hold their time-weighted mean price (and the price at their end is one
    more peer), longer ones the price in force at their end, as a look sees it.

    Parameters
    ----------
    setting : Setting
        Which prices, on which grid, from where to forecast how far.
    store_dir : str
        Folder of the store.

    Returns
    -------
    dict
        ``panel``; ``origins``, positions of cells by horizon; ``tick``, prices at the end of the
        cells (cells, series), None where the panel holds those; ``listed``, a panel of the
        on-demand prices of the same machines; ``since``, as the setting has it.
    """
    import pandas as pd

    from cloudarb_lib.base import units
    from cloudarb_lib.forecast import splits
    from cloudarb_lib.market.panel import cheapest, to_panel
    from pipelines.cli.history_file import record_end

    step = units.parse_freq(setting.freq)
    span = units.parse_freq(setting.span)
    events, looks, evidence = _record(setting, store_dir)
    priced = events[_of_kind(events, setting.kind)]
    end = setting.until or record_end(priced, setting.name).floor(step)

    def on_grid(how: str) -> Panel:
        panel = to_panel(priced, looks, freq=step, as_of=end, how=how)
        by_model = ["provider", "gpu_model"]
        return cheapest(panel, by_model) if setting.kind == "market" else panel

    short = step < pd.Timedelta(days=1)
    panel = on_grid("mean" if short else "last")
    first = max(len(panel.times) - 1 - int(span / step), 1)
    origins = splits.spaced(
        len(panel.times), first=first, horizons=list(setting.horizons), origins=setting.origins
    )
    scored = _scored_series(setting.kind, panel, first)
    if setting.kind == "gpu":
        scored &= _is_sold(panel, evidence)
    tick = on_grid("last").price[:, scored] if short else None
    panel = panel.select(scored)
    on_demand = events[_listed_on_demand(events)]
    same_machines = on_demand[_on_machines_of(on_demand, panel)]
    listed = to_panel(same_machines, looks, freq=step, as_of=end, start=panel.times[0] - step)
    return {
        "panel": panel,
        "origins": origins,
        "tick": tick,
        "listed": listed,
        "since": setting.since,
    }


def _record(setting: Setting, store_dir: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return price events, looks and evidence of sale, up to the end of the setting's record."""
    from cloudarb_lib import store
    from cloudarb_lib.base.units import EVER

    as_of = setting.until or EVER
    with store.open_snapshot(store_dir) as snapshot:
        return (
            snapshot.events(as_of=as_of),
            snapshot.looks(as_of=as_of),
            snapshot.evidence(as_of=as_of),
        )


def _is_sold(panel: Panel, evidence: pd.DataFrame) -> np.ndarray:
    """Say of each offer of a panel whether something says that it is sold where it is priced."""
    import numpy as np

    from cloudarb_lib.market.evidence import with_evidence

    uncounted = panel.offers.reset_index().assign(offer_count=np.nan)
    found = with_evidence(uncounted, evidence)
    return found["evidence"].notna().to_numpy()


def _of_kind(events: pd.DataFrame, kind: Kind) -> pd.Series:
    """Say of each event whether it is a price of that kind."""
    auction = events["source"].eq("aws-spot-2015")
    match kind:
        case "auction":
            return auction
        case "market":
            return events["price_kind"].eq("market") & ~auction
        case "own":
            return events["source"].notna()
    listed_spot = events["purchase_option"].eq("spot") & events["provider"].eq("gcp")
    has_gpu = events["gpu_model"].notna()
    return listed_spot & (has_gpu if kind == "gpu" else ~has_gpu)


def _scored_series(kind: Kind, panel: Panel, first: int) -> np.ndarray:
    """Return which series are scored, those with a price from the first origin on."""
    import numpy as np

    from cloudarb_lib.forecast import is_moving

    scored = np.isfinite(panel.price[first:]).any(axis=0)
    if kind == "own":
        moving = is_moving(panel.offers)
        if moving.any():
            scored &= moving
    if kind == "other":
        rng = np.random.default_rng(SEED)
        drawn = rng.choice(np.flatnonzero(scored), OTHERS, replace=False)
        scored = np.isin(np.arange(len(scored)), drawn)
    return scored


def _listed_on_demand(events: pd.DataFrame) -> pd.Series:
    """Say of each event whether it is an on-demand price of a price list."""
    return events["purchase_option"].eq("on_demand") & ~events["price_kind"].eq("market")


def _on_machines_of(events: pd.DataFrame, panel: Panel) -> np.ndarray:
    """Say of each event whether it is of a machine of the panel."""
    import pandas as pd

    machine = ["provider", "region", "instance_type"]
    machines = pd.MultiIndex.from_frame(panel.offers[machine])
    return pd.MultiIndex.from_frame(events[machine]).isin(machines)
