"""Series that share one price pattern are modelled once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.features import steps
from cloudarb_lib.types import Panel

MAX_CELLS = 520
"""Cells of history used: ten years of weeks, three weeks of hours."""


@dataclass(frozen=True)
class Patterns:
    """``log_price`` (times, patterns) of one offer per pattern, NaN where none is known;
    ``groups`` their codes into ``group_names``; ``of_offer`` the pattern of each panel offer;
    ``example`` the position in the panel of the offer that stands for the pattern."""

    log_price: np.ndarray
    groups: np.ndarray
    group_names: tuple[str, ...]
    of_offer: np.ndarray
    example: np.ndarray


def find_patterns(panel: Panel) -> Patterns:
    """Group offers whose group is the same and whose steps agree to 1 % in every cell.

    The group is the GPU model where there is one, else the provider. A zero or negative price
    counts as unknown.
    """
    price = panel.price[-MAX_CELLS:]
    log_price = np.log(np.where(price > 0, price, np.nan))
    model = panel.offers.get("gpu_model", pd.Series(None, panel.offers.index, dtype=object))
    model = model.astype(object).where(model.notna(), panel.offers["provider"].astype(object))
    codes, names = pd.factorize(model.to_numpy(), sort=True)
    key = np.vstack([codes, np.round(steps(log_price) * 100), np.isfinite(log_price)])
    digest = np.ascontiguousarray(key.T.astype(np.int32)).view(f"V{4 * len(key)}").ravel()
    _, example, of_offer = np.unique(digest, return_index=True, return_inverse=True)
    return Patterns(log_price[:, example], codes[example], tuple(names), of_offer, example)
