"""Is it true? VaR and CVaR of plans as the pages state them, against the cost that came."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.measures import value_at_risk, var_and_cvar
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.base.units import half_year
from cloudarb_lib.forecast import forecast_panels, is_moving
from cloudarb_lib.risk.coverage import pooled_test
from cloudarb_lib.risk.rent import paid_per_hour, step_means
from cloudarb_lib.risk.simulate import SIMULATORS, draw_costs
from cloudarb_lib.risk.tested_plans import LIKE_THE_PAGE, TestedPlans, tested_offers

TRUSTED = "forecast"
"""The model of every page: the forecast's joint paths. The others stand beside it as a range."""
MODELS = (TRUSTED, *SIMULATORS)
WARM_UP_CELLS = 26
"""Cells with moving prices before the first window: the models learn from them."""
PATHS = 300
AT_ONCE = 26
"""Origins that are forecast together, half a year of weeks: offers that part ways within it count
apart from its start. Patterns of the whole record would hold more apart than the pages of the time
did, whose VaR was larger."""
ATOM = 1e-6
"""Of the cost: a loss this near to the VaR is the atom in the samples, not beyond it."""


class _Record(NamedTuple):
    """Prices at the end of each cell and means over it, and what an hour cost, (cells, offers).

    ``plans`` are those that could be held at ``last``.
    """

    last: Panel
    mean: Panel
    paid_usd_per_hour: np.ndarray
    plans: TestedPlans


class _Window(NamedTuple):
    """The cell at whose end it begins, and its length in cells."""

    cell: int
    steps: int

    @property
    def to_come(self) -> slice:
        return slice(self.cell + 1, self.cell + 1 + self.steps)


def back_test(
    last: Panel,
    mean: Panel,
    *,
    horizons: Sequence[int],
    like: pd.DataFrame | None = None,
    level: float = 0.95,
    tick: Callable = lambda items: items,
) -> pd.DataFrame:
    """Return the windows of plans of the past: what was stated, and what came.

    A window begins at every cell. At its origin the plans of ``TestedPlans`` are chosen, and their
    cost over the horizon drawn from the forecast's joint paths as the pages draw it
    (``step_means``); each forecast uses the cells up to its origin. What came is the mean price
    over the cells; an offer that is withdrawn is replaced on demand (``paid_per_hour``).

    Parameters
    ----------
    last, mean : Panel
        Prices at the end of each cell and means over it, of one grid and of offers that are sold;
        those of ``tested_offers`` count.
    horizons : sequence of int
        Cells of a window, each of which begins at every cell.
    like : pd.DataFrame, optional
        Table ``plan``: one plan is made as this one is.
    level : float
        Of VaR and CVaR.
    tick : callable
        Wraps the origins, for progress.

    Returns
    -------
    pd.DataFrame
        A row per origin_utc, horizon (cells), kind, plan and model (``MODELS``): now_usd, at the
        prices of the origin; expected_usd, var_usd and cvar_usd over it; loss_usd, what came over
        it; exceeded; share_below, of the samples below what came. USD per hour.

    Raises
    ------
    ParameterError
        For a level or horizon that cannot be.
    DataError
        For no window, and as the forecast.
    """
    if not 0.0 < level < 1.0 or not horizons or min(horizons) < 1:
        raise ParameterError(
            f"level {level!r} or horizons {horizons!r} cannot be.", "Say 0.95, and 1 or more."
        )
    keep = tested_offers(last)
    last = last.select(keep)
    mean = mean.select(keep)
    if not len(window_origins(last, min(horizons))):
        raise DataError(
            f"{len(last.times)} cells hold no window of {min(horizons)} after {WARM_UP_CELLS} "
            "in which prices move.",
            "Take a shorter horizon or a longer history.",
        )
    # the same for all horizons, so that one asked alone is forecast no differently
    origins = window_origins(last, 1)
    paid = paid_per_hour(mean).reindex(last.times).to_numpy()
    record = _Record(last, mean, paid, TestedPlans(last, like))
    forecasts = _forecasts(last, origins, max(horizons))
    tables = []
    for cell, paths in tick(zip(origins, forecasts, strict=True)):
        for steps in horizons:
            if cell + steps < len(last.times):
                tables += _judged(record, _Window(cell, steps), paths, level)
    if not tables:
        raise DataError(
            "no plan could be held over a whole window.", "Give a longer history or a finer grid."
        )
    return pd.concat(tables, ignore_index=True)


def window_origins(last: Panel, steps: int) -> np.ndarray:
    """Return the cells at whose end windows of a back-test begin.

    Parameters
    ----------
    last : Panel
        As for ``back_test``.
    steps : int
        Cells of the shortest window.

    Returns
    -------
    np.ndarray of shape (origins,)
        None where the record is too short, or no price of it moves.
    """
    begun = np.isfinite(last.price[:, is_moving(last.offers)]).any(axis=1)
    if not begun.any():
        return np.arange(0)
    return np.arange(int(begun.argmax()) + WARM_UP_CELLS, len(last.times) - steps)


def _forecasts(last: Panel, origins: np.ndarray, steps: int) -> Iterator[Paths]:
    """Yield the mean price of each step from each origin."""
    for begin in range(0, len(origins), AT_ONCE):
        panels = [last.until(last.times[cell]) for cell in origins[begin : begin + AT_ONCE]]
        ahead = forecast_panels(panels, horizon_steps=steps, n_paths=PATHS, seed=0)
        for panel, paths in zip(panels, ahead, strict=True):
            now = pd.Series(panel.price[-1], panel.offers.index)
            yield step_means(paths, now, seed=len(panel.times))


def _judged(record: _Record, window: _Window, paths: Paths, level: float) -> list[pd.DataFrame]:
    """Return the rows of a window, a table per model."""
    plans = list(record.plans.at(window.cell, least_cells=window.steps))
    if not plans:
        return []
    at = np.unique(np.concatenate([plan.at for plan in plans]))
    instances = np.zeros((len(at), len(plans)))
    for column, plan in zip(instances.T, plans, strict=True):
        column[np.searchsorted(at, plan.at)] = plan.instances
    paid_usd = record.paid_usd_per_hour[window.to_come, at].mean(axis=0)
    paid = np.nan_to_num(paid_usd) @ instances
    is_lost = np.isnan(paid_usd)  # withdrawn, and nothing replaces it
    paid[(instances[is_lost] > 0).any(axis=0)] = np.nan
    facts = {
        "origin_utc": record.last.times[window.cell],
        "horizon": window.steps,
        "kind": [plan.kind for plan in plans],
        "plan": [plan.name for plan in plans],
        "now_usd": record.last.price[window.cell, at] @ instances,
    }
    tables = []
    for model, unit_usd in _unit_costs(record, window, paths, at).items():
        stated = _verdict(unit_usd @ instances, paid, level)
        tables.append(pd.DataFrame(facts | {"model": model} | stated))
    return [table[np.isfinite(table["loss_usd"])] for table in tables]


def _unit_costs(
    record: _Record, window: _Window, paths: Paths, at: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the mean price over the window by each model, (draws, offers)."""
    offer_ids = record.last.offers.index[at]
    now = record.last.price[: window.cell + 1, at]
    past = record.mean.price[: window.cell + 1, at]
    unit_usd = {TRUSTED: paths.select(offer_ids).values[:, :, : window.steps].mean(axis=2).T}
    for model in SIMULATORS:
        unit_usd[model] = draw_costs(now, past, window.steps, model=model, seed=window.cell)
    return unit_usd


def _verdict(samples: np.ndarray, paid: np.ndarray, level: float) -> dict[str, np.ndarray]:
    """Return what was stated of samples (draws, plans), and how what was paid compares."""
    expected = samples.mean(axis=0)
    increase = samples - expected
    loss = paid - expected
    at, tail = var_and_cvar(increase, level)
    margin = ATOM * expected
    below = (samples < paid - margin).mean(axis=0)
    below_or_at = (samples <= paid + margin).mean(axis=0)
    return {
        "expected_usd": expected,
        "var_usd": at,
        "cvar_usd": tail,
        "loss_usd": loss,
        "exceeded": loss > at + margin,
        "share_below": (below + below_or_at) / 2.0,
    }


def verdicts(windows: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Return how VaR and CVaR held up, pooled over plans.

    Parameters
    ----------
    windows : pd.DataFrame
        Of ``back_test``.
    level : float
        That of its VaR and CVaR.

    Returns
    -------
    pd.DataFrame
        A row per horizon, model and kind ('all plans' pools them, but for the plan made like a
        page's): plans, windows (origins), the fields of ``PooledTest``, rises (share that cost
        more than at the origin's prices). In % of the cost at the origin's prices: bias_pct (mean
        loss over the expected cost), var_pct and cvar_pct (means), worst_pct (the largest loss
        that came), tick_loss_pct (quantile loss of expected cost + VaR). var_over_worst: the
        largest VaR stated of a plan over the largest loss that came of it, the median of plans.
        tail_ratio: the sum of losses beyond VaR over what CVaR says it is, 1 under the model.
    """
    rows = []
    for (horizon, model), of_model in windows.groupby(["horizon", "model"], sort=False):
        pooled = of_model[of_model["kind"] != LIKE_THE_PAGE]
        for kind, group in [("all plans", pooled), *of_model.groupby("kind", sort=True)]:
            about = {"horizon": horizon, "model": model, "kind": kind}
            rows.append(about | _pooled(group, int(str(horizon)), level))
    return pd.DataFrame(rows)


def verdicts_by_half_year(windows: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Return how VaR and CVaR of the trusted model held up in each half-year.

    Parameters
    ----------
    windows, level
        As for ``verdicts``.

    Returns
    -------
    pd.DataFrame
        A row per horizon and half-year in which windows began, pooled over plans: the fields of
        ``verdicts``.
    """
    is_pooled = (windows["model"] == TRUSTED) & (windows["kind"] != LIKE_THE_PAGE)
    trusted = windows[is_pooled]
    began = trusted["origin_utc"].map(half_year).rename("half_year")
    return pd.DataFrame(
        {"horizon": horizon, "half_year": name} | _pooled(group, int(str(horizon)), level)
        for (horizon, name), group in trusted.groupby(["horizon", began])
    )


def _pooled(group: pd.DataFrame, horizon: int, level: float) -> dict[str, Any]:
    """Return the verdict on the windows of some plans."""
    from scipy.stats import norm

    clipped = group["share_below"].clip(0.5 / PATHS, 1.0 - 0.5 / PATHS)
    scored = group.assign(exceeded=group["exceeded"].astype(float), score=norm.ppf(clipped))
    by_plan = {
        name: scored.pivot(index="origin_utc", columns="plan", values=name).to_numpy()
        for name in ("exceeded", "score")
    }
    test = pooled_test(by_plan["exceeded"], by_plan["score"], level=level, overlap=horizon)
    share = 100.0 / group["now_usd"]
    loss = group["loss_usd"]
    beyond = loss - group["var_usd"]
    tick_loss = (level - (beyond <= 0)) * beyond
    in_percent = pd.DataFrame({"stated": group["var_usd"] * share, "came": loss * share})
    largest = in_percent.groupby(group["plan"]).max()
    stated = (group["cvar_usd"] * share).sum() * (1.0 - level)
    return {
        "plans": group["plan"].nunique(),
        "windows": group["origin_utc"].nunique(),
        **test._asdict(),
        "rises": float((loss + group["expected_usd"] > group["now_usd"] * (1.0 + ATOM)).mean()),
        "bias_pct": float((loss * share).mean()),
        "var_pct": float((group["var_usd"] * share).mean()),
        "cvar_pct": float((group["cvar_usd"] * share).mean()),
        "worst_pct": float(largest["came"].max()),
        "var_over_worst": float((largest["stated"] / largest["came"]).median()),
        "tail_ratio": float((loss * share)[group["exceeded"]].sum() / stated),
        "tick_loss_pct": float((tick_loss * share).mean()),
    }


def model_doubt(windows: pd.DataFrame, level: float = 0.95) -> float:
    """Return the factor on VaR with which the share stated of past windows would have kept it.

    Of all windows and plans of the trusted model that state a VaR: the ``level`` quantile of loss
    over VaR. 1.3 says that VaR should have been 1.3 times as large, 0.7 that it was larger than it
    had to be.

    Parameters
    ----------
    windows : pd.DataFrame
        Of ``back_test``, of one horizon.
    level : float
        That of its VaR.

    Returns
    -------
    float
        NaN where no VaR is above 0.
    """
    trusted = windows[windows["model"] == TRUSTED]
    stated = trusted[trusted["var_usd"] > ATOM * trusted["now_usd"]]
    if stated.empty:
        return float("nan")
    return float(value_at_risk((stated["loss_usd"] / stated["var_usd"]).to_numpy(), level))
