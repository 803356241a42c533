"""Forecasts of offers: quantiles and joint sample paths of their prices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.forecast.ensemble import RollingForecasts, rolling_forecasts, rolling_origins
from cloudarb_lib.forecast.list_prices import list_jumps
from cloudarb_lib.forecast.members import SLOW
from cloudarb_lib.forecast.patterns import find_patterns, is_moving
from cloudarb_lib.forecast.saved import fit, load
from cloudarb_lib.tables.assumptions import Assumptions

QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
MAX_AHEAD = pd.Timedelta(days=731)
MAX_PATH_CELLS = 60_000_000  # half a gigabyte of prices


@dataclass(frozen=True, repr=False)
class Forecast:
    """The forecast of offers from one origin.

    Attributes
    ----------
    table : table ``forecast``, quantiles per offer and target.
    paths : the joint sample paths.
    left_out : the offers without a price at the origin, and the reason.
    rolling : what the ensemble rests on, None where no offer moves.
    """

    table: pd.DataFrame
    paths: Paths
    left_out: pd.DataFrame
    rolling: RollingForecasts | None

    @property
    def weights(self) -> pd.DataFrame:
        """Table ``weights`` at the origin."""
        if self.rolling is None:
            return pd.DataFrame(columns=["model", "series_group", "horizon", "weight"])
        return self.rolling.weights_table(-1)

    @property
    def gates(self) -> pd.DataFrame:
        """Members left out at the origin: model, series_group, horizon, reason."""
        if self.rolling is None:
            return pd.DataFrame(columns=["model", "series_group", "horizon", "reason"])
        return self.rolling.gates_table(-1)


@dataclass(frozen=True)
class _Request:
    """What is asked of a forecast: steps ahead, number of paths, and what list prices jump by."""

    ahead: list[int]
    n_paths: int
    assumptions: Assumptions
    seed: int
    paths_for: pd.Index | None = None


def forecast_offers(
    panel: Panel,
    *,
    horizon_steps: int,
    n_paths: int,
    assumptions: Assumptions,
    seed: int,
    paths_for: pd.Index | None = None,
    leave_out: tuple[str, ...] = (),
) -> Forecast:
    """Return quantiles and joint sample paths of the offers of ``panel`` from its last cell on.

    Spot and market offers come from the ensemble; list prices (on-demand, reserved) stay, but for a
    rare jump with the stated hazard.

    Parameters
    ----------
    paths_for : limits the result to some offers; all of the panel still teaches.
    leave_out : members that do not take part.

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
    asked = _Request(list(range(1, horizon_steps + 1)), n_paths, assumptions, seed, paths_for)

    def rolling() -> RollingForecasts:
        return fit(panel, None, horizon_steps=horizon_steps, seed=seed, leave_out=leave_out)

    return _forecast(panel, rolling, asked)


def forecast_panels(
    panels: Sequence[Panel],
    *,
    horizon_steps: int,
    n_paths: int,
    assumptions: Assumptions,
    seed: int,
) -> list[Forecast]:
    """Return the forecast from the end of each of ``panels``: one record as it grew.

    Without ``SLOW`` members. Rolling forecasts over the longest serve all, as in a back-test: each
    uses no price after its origin, and learns from all cells before it. Offers that part ways later
    count apart from the start. A panel that is not the beginning of the longest, since a price was
    corrected or flagged later, is forecast by itself.
    """
    asked = _Request(list(range(1, horizon_steps + 1)), n_paths, assumptions, seed)
    whole = panels[-1]
    moves = is_moving(whole.offers)
    if moves.any():
        patterns = find_patterns(whole.select(moves), listed=whole.select(~moves))
        ends = np.arange(len(panels[0].times) - 1, len(whole.times))
        origins = rolling_origins(patterns, ends, horizon=horizon_steps)
        rolling = rolling_forecasts(
            patterns, origins, horizon=horizon_steps, seed=seed, leave_out=SLOW
        )

    def from_end(panel: Panel) -> Forecast:
        then = whole.until(panel.times[-1])
        at = len(then.times) - len(whole.times) - 1
        if then.frame().reindex(columns=panel.offers.index).equals(panel.frame()):
            return _forecast(then, lambda: rolling.until(at), asked)
        return forecast_offers(
            panel,
            horizon_steps=horizon_steps,
            n_paths=n_paths,
            assumptions=assumptions,
            seed=seed,
            leave_out=SLOW,
        )

    return [from_end(panel) for panel in panels]


def forecast_fitted(
    panel: Panel,
    models: Path,
    *,
    n_paths: int,
    assumptions: Assumptions,
    paths_for: pd.Index | None = None,
    ahead: list[int] | None = None,
) -> Forecast:
    """Return what ``forecast_offers`` does, by the models that ``fit`` left in a folder.

    Parameters
    ----------
    models : the folder.
    ahead : which steps; without it all that they were fitted for.

    Raises
    ------
    ParameterError
        For steps that the models were not fitted for, and as in ``forecast_offers``.
    DataError
        As in ``load``.
    """
    rolling = load(models, panel)
    horizon = rolling.task.horizon
    if ahead is None:
        ahead = list(range(1, horizon + 1))
    if not ahead or min(ahead) < 1 or max(ahead) > horizon:
        raise ParameterError(f"ahead {ahead}: the models were fitted for 1 to {horizon} steps.")
    asked = _Request(ahead, n_paths, assumptions, rolling.task.seed, paths_for)
    return _forecast(panel, lambda: rolling, asked)


def _forecast(
    panel: Panel, rolling_of: Callable[[], RollingForecasts], asked: _Request
) -> Forecast:
    """The forecast from the last origin of rolling forecasts, made where an offer moves."""
    if not len(panel.times) or not np.isfinite(panel.price[-1]).any():
        raise DataError("no offer of the panel has a price at the origin.", "Choose another as_of.")
    offer_ids = panel.offers.index
    is_wanted = offer_ids.isin(offer_ids if asked.paths_for is None else asked.paths_for)
    is_priced = panel.price[-1] > 0
    rows = np.flatnonzero(is_wanted & is_priced)
    if asked.n_paths < 1 or len(rows) * asked.n_paths * len(asked.ahead) > MAX_PATH_CELLS:
        raise ParameterError(
            f"{asked.n_paths} paths of {len(rows)} offers and {len(asked.ahead)} steps "
            "are too many, or none.",
            "Name the offers that need paths (paths_for), or ask for fewer paths.",
        )
    rolling = rolling_of() if is_moving(panel.offers)[rows].any() else None
    change, follows = _changes(panel, rows, rolling, asked)
    factor = np.exp(change, out=change)
    now = panel.price[-1, rows][:, None, None]
    times = panel.times[-1] + pd.TimedeltaIndex(panel.step * np.array(asked.ahead))
    # a quantile is a value that some path takes: an atom stays one
    reached = np.quantile(np.arange(asked.n_paths), QUANTILES, method="inverted_cdf").astype(int)
    quantiles = np.sort(factor, axis=1)[:, reached].transpose(0, 2, 1)
    values = factor[follows]
    values *= now
    paths = Paths(offer_ids[rows].astype(object), times, values)
    table = _quantile_table(paths, quantiles[follows] * now, panel.times[-1])
    left_out = _left_out(panel, np.flatnonzero(is_wanted & ~is_priced))
    return Forecast(table, paths, left_out, rolling)


def _changes(
    panel: Panel, rows: np.ndarray, rolling: RollingForecasts | None, asked: _Request
) -> tuple[np.ndarray, np.ndarray]:
    """Log changes (movements, paths, steps), and which of them each offer of ``rows`` follows."""
    moving = is_moving(panel.offers)
    moves = moving[rows]
    at = np.array(asked.ahead) - 1
    follows = np.zeros(len(rows), int)
    change, kind = list_jumps(
        panel.offers.iloc[rows[~moves]],
        step=panel.step,
        shape=(asked.n_paths, max(asked.ahead)),
        assumptions=asked.assumptions,
        seed=asked.seed,
    )
    change = change[:, :, at]
    follows[~moves] = kind
    if rolling is not None:
        position = (np.cumsum(moving) - 1)[rows[moves]]  # among the offers that move
        only, pattern = np.unique(rolling.patterns.of_offer[position], return_inverse=True)
        follows[moves] = len(change) + pattern
        paths = rolling.paths(-1, n_paths=asked.n_paths, only=only, ahead=at)
        change = np.concatenate([change, paths])
    return change, follows


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
