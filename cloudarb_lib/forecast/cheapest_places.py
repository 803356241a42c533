"""What the cheapest places of a GPU model cost, now, on sample paths, and as it came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.forecast.targets import Targets

COUNTS = (1, 2, 4)
"""Of so many cheapest places the mean price is scored."""
_PLACE = ["provider", "region", "zone"]


def mean_of_cheapest(
    price: np.ndarray, place: np.ndarray, is_known: np.ndarray, *, counts: tuple[int, ...]
) -> np.ndarray:
    """Return the mean price of the k cheapest places, each at its cheapest machine.

    Parameters
    ----------
    price : (offers, paths, horizons), USD per GPU-hour.
    place : (offers,), the codes of their places.
    is_known : (offers, horizons), which offers count.
    counts : each k.

    Returns
    -------
    (counts, paths, horizons), USD per GPU-hour; NaN where fewer than k places count.
    """
    order = np.argsort(place, kind="stable")
    first = np.unique(place[order], return_index=True)[1]
    counted = np.where(is_known[:, None], price, np.inf)[order]
    ranked = np.sort(np.minimum.reduceat(counted, first, axis=0), axis=0)
    out = np.full((len(counts), *price.shape[1:]), np.nan)
    for row, k in enumerate(counts):
        if k <= len(ranked):
            out[row] = ranked[:k].mean(axis=0)
    return np.where(np.isfinite(out), out, np.nan)


@dataclass(frozen=True, eq=False)
class CheapestPlaces:
    """The cheapest k places of each GPU model, as one series for each k and model.

    A place counts where its price is known both at the origin and at the target, since what is
    withdrawn in between has no price to compare.

    Attributes
    ----------
    counts : (series,), k.
    groups : (series,), GPU model.
    now : (origins, series, horizons), mean price of the places cheapest at the origin, USD per
        GPU-hour.
    came : alike, of the places cheapest at the target.
    """

    counts: np.ndarray
    groups: np.ndarray
    now: np.ndarray
    came: np.ndarray
    _offers_of: dict[str, np.ndarray]
    _place: np.ndarray
    _now_usd_per_gpu: np.ndarray
    _is_known: np.ndarray

    @classmethod
    def of(cls, targets: Targets) -> CheapestPlaces:
        """Return those of the GPU models among the offers of ``targets``; none without a GPU."""
        n_gpus = targets.offers["gpu_count"].to_numpy(float)
        has_gpu = targets.offers["gpu_model"].notna().to_numpy() & (n_gpus > 0)
        per_gpu = 1.0 / np.where(has_gpu, n_gpus, np.nan)
        now = targets.now * per_gpu
        came = targets.came * per_gpu[:, None]
        is_known = np.isfinite(now)[:, :, None] & np.isfinite(came)
        names = sorted(set(targets.groups[has_gpu]))
        offers_of = {name: np.flatnonzero(has_gpu & (targets.groups == name)) for name in names}
        place = pd.factorize(targets.offers[_PLACE].astype(str).agg("/".join, axis=1))[0]
        shape = (len(now), len(names) * len(COUNTS), len(targets.horizons))
        out = cls(
            np.tile(COUNTS, len(names)),
            np.repeat(np.array(names, object), len(COUNTS)),
            np.full(shape, np.nan),
            np.full(shape, np.nan),
            offers_of,
            place,
            now,
            is_known,
        )
        for i in range(len(now)):
            out.now[i] = out._cheapest(now[i][:, None, None] + np.zeros(shape[2]), i)[:, 0]
            out.came[i] = out._cheapest(came[i][:, None], i)[:, 0]
        return out

    def changes(self, paths: np.ndarray, origin: int) -> np.ndarray:
        """Return log changes (series, paths, horizons) of those of offers from an origin."""
        price = self._now_usd_per_gpu[origin][:, None, None] * np.exp(paths)
        return np.log(self._cheapest(price, origin) / self.now[origin][:, None])

    def _cheapest(self, price: np.ndarray, origin: int) -> np.ndarray:
        """Mean prices (series, paths, horizons) of USD per GPU-hour (offers, paths, horizons)."""
        out = [
            mean_of_cheapest(
                price[offers], self._place[offers], self._is_known[origin][offers], counts=COUNTS
            )
            for offers in self._offers_of.values()
        ]
        return np.concatenate([np.empty((0, *price.shape[1:])), *out])
