"""Forecasts of more series than one process can hold, in pieces that any number of workers make.

Nothing is learned apart: every piece rests on the whole panel, so a shard's forecast is bit for bit
that of its offers in the forecast of all, and the same path number is the same sample in all
shards. Two kinds of pieces:

- what past paths came to (``learn``), which takes most of the time, by blocks of past cells;
- paths and quantiles (``offers.forecast_fitted``) by provider and region.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

from cloudarb_lib.base.files import replaced
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast.lists.rolling import Outcomes, learned_cells, list_outcomes
from cloudarb_lib.forecast.patterns import find_patterns

_ARRAYS = tuple(field.name for field in fields(Outcomes))
"""Names of the arrays by which a block of outcomes is kept."""


def shards(panel: Panel) -> dict[str, pd.Index]:
    """Return the offers that have a price at the end of a panel, by provider and region.

    Returns
    -------
    dict of str to Index
        Ids of offers, by a name that can be one of a file: provider, a hyphen, and the region, in
        which all but letters, digits and ``_.-~`` is written as in a URL.
    """
    priced = panel.offers[panel.price[-1] > 0]
    found = {}
    for (provider, region), offers in priced.groupby(["provider", "region"], observed=True):
        found[f"{quote(provider, safe='')}-{quote(region, safe='')}"] = offers.index
    return found


def learn(
    panel: Panel, *, horizon_steps: int, seed: int, block: int, blocks: int
) -> list[Outcomes]:
    """Return what past paths came to, of every ``blocks``-th of the past cells.

    Parameters
    ----------
    panel : Panel
        Offers, up to the origin.
    horizon_steps, seed : int
        As ``forecast_offers`` takes them.
    block : int
        Which of the blocks, 0 to ``blocks`` - 1.
    blocks : int
        How many there are; cells are dealt out in turn, as later ones have more to learn from.

    Returns
    -------
    list of Outcomes
        One for each price list; empty where the panel has none.
    """
    patterns = find_patterns(panel, listed=panel)
    cells = learned_cells(np.array([len(panel.times) - 1]))[block::blocks]
    return list_outcomes(patterns, cells, horizon=horizon_steps, seed=seed)


def write_block(learned: Sequence[Outcomes], file: Path) -> None:
    """Write what ``learn`` returned, as plain arrays, whole or not at all."""
    arrays = {
        f"{name}_{k}": getattr(outcomes, name)
        for k, outcomes in enumerate(learned)
        for name in _ARRAYS
    }
    with replaced(file) as unfinished, unfinished.open("wb") as out:
        np.savez(out, **arrays)


def read_blocks(files: Iterable[Path]) -> list[Outcomes]:
    """Return what all blocks learned together, one for each price list."""
    blocks = []
    for file in files:
        with np.load(file, allow_pickle=False) as arrays:
            blocks.append(_outcomes_of(arrays))
    return [Outcomes.joined(parts) for parts in zip(*blocks, strict=True)]


def _outcomes_of(arrays: Mapping[str, np.ndarray]) -> list[Outcomes]:
    n_lists = len(arrays) // len(_ARRAYS)
    return [Outcomes(*(arrays[f"{name}_{k}"] for name in _ARRAYS)) for k in range(n_lists)]
