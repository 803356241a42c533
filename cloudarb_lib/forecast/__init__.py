"""Forecasts: members, ensemble, calibrated intervals and joint sample paths; walk-forward scores."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.base.units import HOURS_PER_YEAR
from cloudarb_lib.forecast.backtest import headline, walk_forward
from cloudarb_lib.forecast.drift import alarms
from cloudarb_lib.forecast.ensemble import Walk, walk_origins, walk_positions
from cloudarb_lib.forecast.members import SLOW
from cloudarb_lib.forecast.patterns import find_patterns, is_moving
from cloudarb_lib.forecast.saved import fit, load, update
from cloudarb_lib.tables.assumptions import Assumptions

QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
MAX_AHEAD = pd.Timedelta(days=731)
MAX_PATH_CELLS = 60_000_000  # half a gigabyte of prices


@dataclass(frozen=True, repr=False)
class Forecast:
    """``table`` is table ``forecast`` (quantiles per offer and target), ``paths`` the joint sample paths,
    ``left_out`` the offers without a price at the origin (reason), ``walk`` what the ensemble rests on, None
    where no offer moves."""

    table: pd.DataFrame
    paths: Paths
    left_out: pd.DataFrame
    walk: Walk | None

    @property
    def weights(self) -> pd.DataFrame:
        """Table ``weights`` at the origin."""
        return self._table(gates=False)

    @property
    def gates(self) -> pd.DataFrame:
        """Members left out at the origin: model, series_group, horizon, reason."""
        return self._table(gates=True)

    def _table(self, *, gates: bool) -> pd.DataFrame:
        if self.walk is not None:
            return self.walk.table(-1, gates=gates)
        return pd.DataFrame(
            columns=["model", "series_group", "horizon", "reason" if gates else "weight"]
        )


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

    Spot and market offers come from the ensemble; list prices (on-demand, reserved) stay, but for a rare
    jump with the stated hazard. ``paths_for`` limits the result to some offers; all of the panel still
    teaches; members named in ``leave_out`` do not take part. ParameterError for a horizon or number of paths beyond reason, DataError without a price.
    """
    if not 1 <= horizon_steps or horizon_steps * panel.step > MAX_AHEAD:
        raise ParameterError(
            f"horizon_steps {horizon_steps} of {panel.step} is not between 1 and {MAX_AHEAD.days} days.",
            "Forecast fewer steps, or use a coarser grid.",
        )

    def walk_of() -> Walk:
        return fit(panel, None, horizon_steps=horizon_steps, seed=seed, leave_out=leave_out)

    ahead, lists = list(range(1, horizon_steps + 1)), (assumptions, seed)
    return _forecast(panel, walk_of, ahead=ahead, n_paths=n_paths, lists=lists, paths_for=paths_for)


def forecast_panels(
    panels: Sequence[Panel],
    *,
    horizon_steps: int,
    n_paths: int,
    assumptions: Assumptions,
    seed: int,
) -> list[Forecast]:
    """Return the forecast from the end of each of ``panels``: one record as it grew, without ``SLOW`` members.

    One walk over the longest serves all, as in a back-test: each forecast uses no price after its origin, and
    learns from all cells before it. Offers that part ways later count apart from the start. A panel that is not
    the beginning of the longest, since a price was corrected or flagged later, is forecast by itself.
    """
    ahead, lists = list(range(1, horizon_steps + 1)), (assumptions, seed)
    whole = panels[-1]
    moves = is_moving(whole.offers)
    if moves.any():
        patterns = find_patterns(whole.select(moves), listed=whole.select(~moves))
        asked = np.arange(len(panels[0].times) - 1, len(whole.times))
        origins = walk_positions(patterns, asked, horizon=horizon_steps)
        walk = walk_origins(patterns, origins, horizon=horizon_steps, seed=seed, leave_out=SLOW)

    def from_end(panel: Panel) -> Forecast:
        then = whole.until(panel.times[-1])
        at = len(then.times) - len(whole.times) - 1
        if then.frame().reindex(columns=panel.offers.index).equals(panel.frame()):
            return _forecast(
                then,
                lambda: walk.until(at),
                ahead=ahead,
                n_paths=n_paths,
                lists=lists,
                paths_for=None,
            )
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
    """Return what ``forecast_offers`` does, by the models that ``fit`` left in folder ``models``, fitting none.

    ``ahead``: which steps, without it all they were fitted for. Errors as there, and those of ``load``.
    """
    walk = load(models, panel)
    horizon, lists = walk.task.horizon, (assumptions, walk.task.seed)
    ahead = list(range(1, horizon + 1)) if ahead is None else ahead
    if not ahead or min(ahead) < 1 or max(ahead) > horizon:
        raise ParameterError(f"ahead {ahead}: the models were fitted for 1 to {horizon} steps.")
    return _forecast(
        panel, lambda: walk, ahead=ahead, n_paths=n_paths, lists=lists, paths_for=paths_for
    )


def _forecast(
    panel: Panel,
    walk_of: Callable[[], Walk],
    *,
    ahead: list[int],
    n_paths: int,
    lists: tuple[Assumptions, int],
    paths_for: pd.Index | None,
) -> Forecast:
    """Return the forecast of the steps ``ahead`` from the last origin of the walk over the offers that move;
    ``lists`` what list prices jump by: assumptions and seed."""
    if not len(panel.times) or not np.isfinite(panel.price[-1]).any():
        raise DataError("no offer of the panel has a price at the origin.", "Choose another as_of.")
    wanted = panel.offers.index.isin(panel.offers.index if paths_for is None else paths_for)
    priced = panel.price[-1] > 0
    rows = np.flatnonzero(wanted & priced)
    if n_paths < 1 or len(rows) * n_paths * len(ahead) > MAX_PATH_CELLS:
        raise ParameterError(
            f"{n_paths} paths of {len(rows)} offers and {len(ahead)} steps are too many, or none.",
            "Name the offers that need paths (paths_for), or ask for fewer paths.",
        )
    moving = is_moving(panel.offers)
    unit = np.zeros(len(rows), int)  # which of the modelled price movements an offer follows
    change, listed = list_jumps(
        panel.offers.iloc[rows[~moving[rows]]],
        step=panel.step,
        shape=(n_paths, max(ahead)),
        assumptions=lists[0],
        seed=lists[1],
    )
    change, at = change[:, :, np.array(ahead) - 1], np.array(ahead) - 1
    unit[~moving[rows]] = listed
    walk = None
    if moving[rows].any():
        walk = walk_of()
        of_row = walk.patterns.of_offer[(np.cumsum(moving) - 1)[rows[moving[rows]]]]
        only, back = np.unique(of_row, return_inverse=True)
        unit[moving[rows]] = len(change) + back
        change = np.concatenate([change, walk.worlds(-1, n_paths=n_paths, only=only, ahead=at)])
    factor = np.exp(change, out=change)  # a quantile is a value some path takes: an atom stays one
    reached = np.quantile(np.arange(n_paths), QUANTILES, method="inverted_cdf").astype(int)
    quantiles = np.sort(factor, axis=1)[:, reached].transpose(0, 2, 1)
    now = panel.price[-1, rows][:, None, None]
    times = panel.times[-1] + pd.TimedeltaIndex(panel.step * np.array(ahead))
    out = np.flatnonzero(wanted & ~priced)
    never = ~np.isfinite(panel.price[:, out]).any(axis=0)
    reason = np.where(never, "no price on record", "withdrawn, or a price of zero")
    left_out = pd.DataFrame({"offer_id": panel.offers.index[out].astype(object), "reason": reason})
    values = factor[unit]
    values *= now
    paths = Paths(panel.offers.index[rows].astype(object), times, values)
    levels, offers = len(QUANTILES), len(rows)
    codes = np.repeat(np.arange(offers), len(ahead) * levels)
    table = pd.DataFrame(
        {
            "offer_id": pd.Categorical.from_codes(codes, categories=paths.offer_ids),
            "origin_utc": panel.times[-1],
            "target_utc": times[np.tile(np.repeat(np.arange(len(ahead)), levels), offers)],
            "quantile": np.tile(QUANTILES, offers * len(ahead)),
            "price_usd_per_hour": (quantiles[unit] * now).reshape(-1),
        }
    )
    return Forecast(table, paths, left_out, walk)


def list_jumps(
    offers: pd.DataFrame, *, step: pd.Timedelta, shape: tuple, assumptions: Assumptions, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return log changes (kinds, paths, steps) of list prices, 0 until a jump, and each offer's kind.

    A jump hits all offers of a kind (provider, option and GPU model) in the same world at once; rate,
    share of falls and size are the assumptions ``list_price_jump_*``.
    """
    out = np.zeros((0, *shape))
    kind = np.zeros(len(offers), int)
    years = step / pd.Timedelta(hours=HOURS_PER_YEAR)
    option, provider, model = (
        offers[c].astype(str) for c in ("purchase_option", "provider", "gpu_model")
    )
    for key, rows in offers.groupby(option + "/" + provider + "/" + model).indices.items():
        rng, names = (
            np.random.default_rng([seed, zlib.crc32(str(key).encode())]),
            str(key).split("/"),
        )
        hazard, falls, size = (
            assumptions.get(*(f"list_price_jump_{what}/" + "/".join(names[:n]) for n in (2, 1)))
            for what in ("per_year", "down_share", "size")
        )
        jump = rng.random(shape) < 1 - np.exp(-hazard * years)
        way = np.where(rng.random(shape) < falls, np.log1p(-size), np.log1p(size))
        kind[rows] = len(out)
        out = np.concatenate([out, np.cumsum(np.where(jump, way, 0.0), axis=1)[None]])
    return out, kind
