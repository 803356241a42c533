"""Forecasts of offers: quantiles and joint sample paths of their prices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.tracing import traced
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.forecast.ensemble import RollingEnsemble, rolling_origins
from cloudarb_lib.forecast.lists.rolling import Outcomes
from cloudarb_lib.forecast.members import SLOW
from cloudarb_lib.forecast.patterns import find_patterns, is_market
from cloudarb_lib.forecast.rolling import RollingForecasts, rolling_forecasts, with_lists
from cloudarb_lib.forecast.saved import asked_of, fit, load

QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
MAX_AHEAD = pd.Timedelta(days=1_096)
MAX_PATH_CELLS = 60_000_000  # half a gigabyte of prices

NO_MEMBERS = pd.DataFrame({"model": "", "series_group": "", "horizon": np.zeros(0, int)})
"""Tables of a forecast of list prices alone begin like this."""


@dataclass(frozen=True, repr=False)
class Forecast:
    """The forecast of offers from one origin.

    Attributes
    ----------
    table : table ``forecast``, quantiles per offer and target.
    paths : the joint sample paths.
    left_out : the offers without a price at the origin, and the reason.
    rolling : what it rests on.
    """

    table: pd.DataFrame
    paths: Paths
    left_out: pd.DataFrame
    rolling: RollingForecasts

    @property
    def weights(self) -> pd.DataFrame:
        """Table ``weights`` at the origin."""
        if self.rolling.ensemble is None:
            return NO_MEMBERS.assign(weight=0.0)
        return self.rolling.ensemble.weights_table(-1)

    @property
    def gates(self) -> pd.DataFrame:
        """Members left out at the origin: model, series_group, horizon, reason."""
        if self.rolling.ensemble is None:
            return NO_MEMBERS.assign(reason="")
        return self.rolling.ensemble.gates_table(-1)


@dataclass(frozen=True)
class _Request:
    """What is asked of a forecast: steps ahead, number of paths, and for which offers."""

    ahead: list[int]
    n_paths: int
    paths_for: pd.Index | None = None


@traced("forecast")
def forecast_offers(
    panel: Panel,
    *,
    horizon_steps: int,
    n_paths: int,
    seed: int,
    paths_for: pd.Index | None = None,
    leave_out: tuple[str, ...] = (),
) -> Forecast:
    """Return quantiles and joint sample paths of the offers of ``panel`` from its last cell on.

    List prices come from the simulator of ``lists``, those of a market from the ensemble.

    Parameters
    ----------
    paths_for : limits the result to some offers; all of the panel still teaches.
    leave_out : members of the ensemble that do not take part.

    Raises
    ------
    ParameterError
        For a horizon or number of paths beyond reason.
    DataError
        Without a price.
    """
    if not 1 <= horizon_steps or horizon_steps * panel.step > MAX_AHEAD:
        raise ParameterError(
            f"horizon_steps {horizon_steps} of {panel.step} is not between 1 and "
            f"{MAX_AHEAD.days} days.",
            "Forecast fewer steps, or use a coarser grid.",
        )
    asked = _Request(list(range(1, horizon_steps + 1)), n_paths, paths_for)
    rows = _rows_to_forecast(panel, asked)
    fitted = fit(panel, None, horizon_steps=horizon_steps, seed=seed, leave_out=leave_out)
    rolling = _beside(panel, fitted, horizon_steps, seed)
    return _forecast(panel, rolling, rows, asked)


def forecast_panels(
    panels: Sequence[Panel], *, horizon_steps: int, n_paths: int, seed: int
) -> Iterator[Paths]:
    """Yield the paths from the end of each of ``panels``: one record as it grew.

    Without ``SLOW`` members. Rolling forecasts over the longest serve all, as in a back-test: each
    uses no price after its origin, and learns from all cells before it. Offers that part ways later
    count apart from the start. A panel that is not the beginning of the longest, since a price was
    corrected or flagged later, is forecast by itself. Paths are drawn when their turn comes: those
    of many panels are never in memory at once.
    """
    asked = _Request(list(range(1, horizon_steps + 1)), n_paths)
    whole = panels[-1]
    patterns = find_patterns(whole, listed=whole)
    ends = np.arange(len(panels[0].times) - 1, len(whole.times))
    origins = rolling_origins(patterns, ends, horizon=horizon_steps)
    rolling = rolling_forecasts(patterns, origins, horizon=horizon_steps, seed=seed, leave_out=SLOW)
    for panel in panels:
        then = whole.until(panel.times[-1])
        if then.frame().reindex(columns=panel.offers.index).equals(panel.frame()):
            rows = _rows_to_forecast(then, asked)
            from_end = len(then.times) - len(whole.times) - 1
            factor, follows = _drawn_factors(rolling, from_end, rows, asked)
            yield _paths(then, rows, factor[follows], asked)
        else:
            alone = forecast_offers(
                panel, horizon_steps=horizon_steps, n_paths=n_paths, seed=seed, leave_out=SLOW
            )
            yield alone.paths


def forecast_fitted(
    panel: Panel,
    models: Path,
    *,
    n_paths: int,
    paths_for: pd.Index | None = None,
    ahead: list[int] | None = None,
    learned: Sequence[Outcomes] | None = None,
) -> Forecast:
    """Return what ``forecast_offers`` does, by the models that ``fit`` left in a folder.

    Parameters
    ----------
    models : the folder.
    ahead : which steps; without it all that they were fitted for.
    learned : of each price list, what past paths came to (``shards``); worked out here without.

    Raises
    ------
    ParameterError
        For steps that the models were not fitted for, and as in ``forecast_offers``.
    DataError
        As in ``load``.
    """
    horizon, seed = asked_of(models)
    if ahead is None:
        ahead = list(range(1, horizon + 1))
    if not ahead or min(ahead) < 1 or max(ahead) > horizon:
        raise ParameterError(f"ahead {ahead}: the models were fitted for 1 to {horizon} steps.")
    asked = _Request(ahead, n_paths, paths_for)
    rows = _rows_to_forecast(panel, asked)
    fitted = load(models, panel) if is_market(panel.offers, panel.step).any() else None
    rolling = _beside(panel, fitted, horizon, seed, learned)
    return _forecast(panel, rolling, rows, asked)


def _beside(
    panel: Panel,
    ensemble: RollingEnsemble | None,
    horizon: int,
    seed: int,
    learned: Sequence[Outcomes] | None = None,
) -> RollingForecasts:
    """The forecasts from the last cell of a panel, those of its market by a fitted ensemble."""
    patterns = find_patterns(panel, listed=panel)
    end = np.array([len(panel.times) - 1])
    return with_lists(patterns, end, horizon=horizon, seed=seed, ensemble=ensemble, learned=learned)


def _forecast(
    panel: Panel, rolling: RollingForecasts, rows: np.ndarray, asked: _Request
) -> Forecast:
    """The forecast of the offers ``rows`` from the last origin of rolling forecasts."""
    factor, follows = _drawn_factors(rolling, -1, rows, asked)
    # a quantile is a value that some path takes: an atom stays one
    reached = np.quantile(np.arange(asked.n_paths), QUANTILES, method="inverted_cdf").astype(int)
    quantiles = np.sort(factor, axis=1)[:, reached].transpose(0, 2, 1)
    paths = _paths(panel, rows, factor[follows], asked)
    now = panel.price[-1, rows][:, None, None]
    table = _quantile_table(paths, quantiles[follows] * now, panel.times[-1])
    is_unpriced = ~(panel.price[-1] > 0)
    left_out = _left_out(panel, np.flatnonzero(_is_wanted(panel, asked) & is_unpriced))
    return Forecast(table, paths, left_out, rolling)


def _is_wanted(panel: Panel, asked: _Request) -> np.ndarray:
    """Whether each offer is among those that are asked (offers,)."""
    offer_ids = panel.offers.index
    return offer_ids.isin(offer_ids if asked.paths_for is None else asked.paths_for)


def _rows_to_forecast(panel: Panel, asked: _Request) -> np.ndarray:
    """Positions of the offers that are asked and have a price at the origin."""
    if not len(panel.times) or not np.isfinite(panel.price[-1]).any():
        raise DataError("no offer of the panel has a price at the origin.", "Choose another as_of.")
    rows = np.flatnonzero(_is_wanted(panel, asked) & (panel.price[-1] > 0))
    if asked.n_paths < 1 or len(rows) * asked.n_paths * len(asked.ahead) > MAX_PATH_CELLS:
        raise ParameterError(
            f"{asked.n_paths} paths of {len(rows)} offers and {len(asked.ahead)} steps "
            "are too many, or none.",
            "Name the offers that need paths (paths_for), or ask for fewer paths.",
        )
    return rows


def _drawn_factors(
    rolling: RollingForecasts, origin: int, rows: np.ndarray, asked: _Request
) -> tuple[np.ndarray, np.ndarray]:
    """Sample paths of the patterns that offers follow, and which each follows (offers,).

    Paths are factors on the price at the origin (patterns, paths, steps).
    """
    only, follows = np.unique(rolling.patterns.of_offer[rows], return_inverse=True)
    at = np.array(asked.ahead) - 1
    change = rolling.paths(origin, n_paths=asked.n_paths, only=only, ahead=at)
    return np.exp(change, out=change), follows


def _paths(panel: Panel, rows: np.ndarray, factor: np.ndarray, asked: _Request) -> Paths:
    """Prices of offers from factors on those at the end of a panel, which become them."""
    factor *= panel.price[-1, rows][:, None, None]
    times = panel.times[-1] + pd.TimedeltaIndex(panel.step * np.array(asked.ahead))
    return Paths(panel.offers.index[rows].astype(object), times, factor)


def _quantile_table(paths: Paths, quantiles: np.ndarray, origin: pd.Timestamp) -> pd.DataFrame:
    """Table ``forecast`` of prices (offers, steps, ``QUANTILES``)."""
    n_offers, n_steps, n_levels = quantiles.shape
    offer = np.repeat(np.arange(n_offers), n_steps * n_levels)
    step = np.tile(np.repeat(np.arange(n_steps), n_levels), n_offers)
    return pd.DataFrame(
        {
            "offer_id": pd.Categorical.from_codes(offer, categories=paths.offer_ids),
            "origin_utc": origin,
            "target_utc": paths.times[step],
            "quantile": np.tile(QUANTILES, n_offers * n_steps),
            "price_usd_per_hour": quantiles.reshape(-1),
        }
    )


def _left_out(panel: Panel, positions: np.ndarray) -> pd.DataFrame:
    """The offers at ``positions``, which have no price at the origin, and why."""
    never = ~np.isfinite(panel.price[:, positions]).any(axis=0)
    reason = np.where(never, "no price on record", "withdrawn, or a price of zero")
    return pd.DataFrame(
        {"offer_id": panel.offers.index[positions].astype(object), "reason": reason}
    )
