"""A panel in a folder, from which every job of a graph reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib.base.digests import FILE_DIGITS, digest_values
from cloudarb_lib.base.files import replaced
from cloudarb_lib.base.types import Panel

_OFFERS = "offers.parquet"
_CELLS = "cells.npz"
_ABOUT = ("price", "available", "state")


def write_panel(panel: Panel, folder: Path) -> None:
    """Write a panel into a folder: offers as Parquet, cells as plain arrays."""
    with replaced(folder / _OFFERS) as unfinished:
        panel.offers.to_parquet(unfinished)
    cells = {name: getattr(panel, name) for name in _ABOUT}
    cells["times_ns"] = panel.times.as_unit("ns").asi8
    cells["step_ns"] = np.array(panel.step.as_unit("ns").value)
    with replaced(folder / _CELLS) as unfinished, unfinished.open("wb") as out:
        np.savez(out, **cells)


def read_panel(folder: Path) -> Panel:
    """Return the panel that ``write_panel`` left in a folder."""
    with np.load(folder / _CELLS, allow_pickle=False) as cells:
        times = pd.DatetimeIndex(cells["times_ns"], tz="UTC")
        step = pd.Timedelta(int(cells["step_ns"]), unit="ns")
        about = {name: cells[name] for name in _ABOUT}
    return Panel(times, step, pd.read_parquet(folder / _OFFERS), **about)


def panel_digest(panel: Panel) -> str:
    """Return the digest of a panel's prices and offers."""
    prices = pd.util.hash_pandas_object(panel.frame().T).to_numpy().tobytes().hex()
    return digest_values(prices, str(panel.times[-1]), str(panel.step))[:FILE_DIGITS]
