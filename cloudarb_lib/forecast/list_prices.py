"""List prices that no ensemble forecasts: they stay, but for a rare jump."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd

from cloudarb_lib.base.units import HOURS_PER_YEAR
from cloudarb_lib.tables.assumptions import Assumptions


def list_jumps(
    offers: pd.DataFrame, *, step: pd.Timedelta, shape: tuple, assumptions: Assumptions, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return log changes of list prices, 0 until a jump, and each offer's kind.

    A jump hits all offers of a kind (provider, option and GPU model) on the same path at once;
    rate, share of falls and size are the assumptions ``list_price_jump_*``.

    Parameters
    ----------
    step : length of a cell.
    shape : (paths, steps)

    Returns
    -------
    changes : (kinds, paths, steps)
    kind : (offers,), positions in the changes.
    """
    changes = np.zeros((0, *shape))
    kind = np.zeros(len(offers), int)
    years = step / pd.Timedelta(hours=HOURS_PER_YEAR)
    option, provider, model = (
        offers[column].astype(str) for column in ("purchase_option", "provider", "gpu_model")
    )
    for key, rows in offers.groupby(option + "/" + provider + "/" + model).indices.items():
        rng = np.random.default_rng([seed, zlib.crc32(str(key).encode())])
        names = str(key).split("/")
        scopes = ("/".join(names[:2]), names[0])  # of the provider, else of all
        hazard, falls, size = (
            assumptions.get(*(f"list_price_jump_{what}/{scope}" for scope in scopes))
            for what in ("per_year", "down_share", "size")
        )
        jumps = rng.random(shape) < 1 - np.exp(-hazard * years)
        change = np.where(rng.random(shape) < falls, np.log1p(-size), np.log1p(size))
        kind[rows] = len(changes)
        path = np.cumsum(np.where(jumps, change, 0.0), axis=1)
        changes = np.concatenate([changes, path[None]])
    return changes, kind
