"""Scores of many origins as a table: by model, horizon and half-year, against the last value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.base.units import half_year
from cloudarb_lib.forecast.path_scores import PathScores
from cloudarb_lib.forecast.significance import equal_accuracy_p
from cloudarb_lib.forecast.targets import Targets

LAST_VALUE = "last_value"
OFFER = "offer"
"""Target of the scores of offers themselves."""
ALL = "all"
"""All groups, and all origins."""
LOSSES = ("mae", "rmse", "crps")
"""The losses that are compared with the last value's."""
MOST_ALONE = 20
"""Up to so many offers are each a group of its own too."""
INTERVALS = (80, 95)
"""Central intervals whose coverage is told, %."""


@dataclass(frozen=True, eq=False)
class ScoredSeries:
    """Series that were scored alike.

    Attributes
    ----------
    target : what is forecast: ``offer``, or ``cheapest k``.
    groups : (series,), GPU model or provider of each.
    came : (origins, series, horizons), USD per hour.
    scale : shaped as ``came`` or (origins, series, 1), by which errors were divided.
    scores : by model, each shaped as ``came``; ``LAST_VALUE`` is one of them.
    """

    target: str
    groups: np.ndarray
    came: np.ndarray
    scale: np.ndarray
    scores: Mapping[str, PathScores]


class _Span(NamedTuple):
    """Some of the origins: ``holds`` (origins,)."""

    name: str
    holds: np.ndarray


class _Group(NamedTuple):
    """Some of the series (mask), and the repricing events of their offers by each cell so far."""

    name: str
    columns: np.ndarray
    n_repricings: np.ndarray


def score_table(series: ScoredSeries, targets: Targets, *, since: str = "") -> pd.DataFrame:
    """Return table ``scores`` of ``series``: a row per group, model, horizon and span.

    Ratios are sums of losses over those of the last value on the same outcomes, for RMSE rooted.

    Parameters
    ----------
    since : day from which on origins are one more span, besides all and each half-year.
    """
    spans = _spans(targets.times, since)
    groups = _groups(series, targets)
    rows = []
    for model in series.scores:
        for k, horizon in enumerate(targets.horizons):
            terms = _terms(series, model, k)
            names = {"target": series.target, "model": model, "horizon": horizon}
            for group in groups:
                sums = {name: values[:, group.columns].sum(1) for name, values in terms.items()}
                for span in spans:
                    at = np.flatnonzero(span.holds & (sums["n"] > 0))
                    if len(at):
                        about = names | {"series_group": group.name, "span": span.name}
                        of_span = {name: values[at] for name, values in sums.items()}
                        rows.append(about | _row(of_span, targets, at, group, horizon))
    return pd.DataFrame(rows)


def _spans(times: pd.DatetimeIndex, since: str) -> list[_Span]:
    """All origins, those of each half-year where there are several, those from ``since`` on."""
    half = np.array([half_year(time) for time in times], object)
    out = [_Span(ALL, np.ones(len(times), bool))]
    if len(set(half)) > 1:
        out += [_Span(name, half == name) for name in sorted(set(half))]
    if since:
        out.append(_Span(f"from {since}", np.asarray(times >= pd.Timestamp(since, tz="UTC"))))
    return out


def _groups(series: ScoredSeries, targets: Targets) -> list[_Group]:
    """All series, those of each group where there are several, and each offer of a few."""

    def group(name: str, columns: np.ndarray, offers: np.ndarray) -> _Group:
        return _Group(name, columns, np.cumsum(targets.is_repricing(offers)))

    out = [group(ALL, np.ones(len(series.groups), bool), np.ones(len(targets.groups), bool))]
    names = sorted(set(series.groups))
    if len(names) > 1:
        out += [group(name, series.groups == name, targets.groups == name) for name in names]
    offer_ids = targets.offers.index
    if series.target == OFFER and 1 < len(offer_ids) <= MOST_ALONE:
        for offer_id in offer_ids:
            is_offer = np.asarray(offer_ids == offer_id)
            out.append(group(str(offer_id), is_offer, is_offer))
    return out


def _terms(series: ScoredSeries, model: str, k: int) -> dict[str, np.ndarray]:
    """What sums are made of (origins, series), ``k`` horizons on; 0 where there is no outcome.

    Losses of the last value are those of the outcomes that the model forecast.
    """
    mine = {name: values[:, :, k] for name, values in series.scores[model].items()}
    last = {name: values[:, :, k] for name, values in series.scores[LAST_VALUE].items()}
    is_scored = np.isfinite(mine["crps"])
    usd = np.broadcast_to(series.scale, series.came.shape)[:, :, k]
    outside = np.abs(2 * mine["pit"] - 1)
    has_pit = np.isfinite(outside)
    terms = {
        "mae": mine["absolute_error"],
        "rmse": mine["error"] ** 2,
        "crps": mine["crps"],
        "last_mae": last["absolute_error"],
        "last_rmse": last["error"] ** 2,
        "last_crps": last["absolute_error"],
        "bias": mine["error"],
        "last_bias": last["error"],
        "mae_usd_per_hour": mine["absolute_error"] * usd,
        "rmse_usd_per_hour": (mine["error"] * usd) ** 2,
        "mape": mine["absolute_error"] * usd / series.came[:, :, k],
        **{name: mine[name] for name in ("p_change", "changed", "brier", "direction")},
        **{f"pit{level}": has_pit & (outside <= level / 100) for level in INTERVALS},
        "n": is_scored,
        "n_moved": np.isfinite(mine["direction"]),
        "n_pit": has_pit,
    }
    return {
        name: np.where(is_scored & np.isfinite(values), values, 0.0)
        for name, values in terms.items()
    }


def _row(
    sums: dict[str, np.ndarray], targets: Targets, at: np.ndarray, group: _Group, horizon: int
) -> dict[str, float]:
    """Return the figures of the origins at positions ``at``: ``sums`` over series, by origin."""
    first, last = targets.starts[at[[0, -1]]]
    n_repricings = int(group.n_repricings[last + horizon] - group.n_repricings[first])
    quarter = targets.quarters[at]
    row: dict[str, float] = {"n_origins": len(at), "n_repricings": n_repricings}
    row |= _means(sums)
    for name in LOSSES:
        gain = sums[f"last_{name}"] - sums[name]
        ratio = _share(sums[name], sums[f"last_{name}"])
        total = float(gain.sum())
        best = float(np.bincount(quarter, gain).max())
        row[f"{name}_ratio"] = float(np.sqrt(ratio)) if name == "rmse" else ratio
        row[f"{name}_best_quarter"] = best / total if total > 0 else float("nan")
        row[f"{name}_p"] = equal_accuracy_p(
            -gain, overlap=targets.overlap(horizon), n_events=n_repricings
        )
    return row


def _means(sums: dict[str, np.ndarray]) -> dict[str, float]:
    """Means over the outcomes of some origins."""
    n = int(sums["n"].sum())
    out: dict[str, float] = {"n": n}
    for name in ("bias", "last_bias", "p_change", "changed", "brier", "mape", "mae_usd_per_hour"):
        out[name] = float(sums[name].sum() / n)
    out["rmse_usd_per_hour"] = float(np.sqrt(sums["rmse_usd_per_hour"].sum() / n))
    out["direction"] = _share(sums["direction"], sums["n_moved"])
    for level in INTERVALS:
        out[f"pit{level}"] = _share(sums[f"pit{level}"], sums["n_pit"])
    return out


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    """The sum of one over that of the other, NaN where that is not above 0."""
    total = float(whole.sum())
    return float(part.sum()) / total if total > 0 else float("nan")


def headline(
    scores: pd.DataFrame, *, target: str = OFFER, group: str = ALL, span: str = ALL
) -> pd.DataFrame:
    """Return the rows of table ``scores`` about one target, group and span, by model, horizon."""
    asked = {"target": target, "series_group": group, "span": span}
    chosen = np.logical_and.reduce([scores[name] == value for name, value in asked.items()])
    return scores[chosen].drop(columns=list(asked)).set_index(["model", "horizon"]).sort_index()
