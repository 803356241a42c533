"""Table ``scores`` as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MODEL_COLUMNS = {"mae_ratio": "MAE", "rmse_ratio": "RMSE", "crps_ratio": "CRPS"}
_SHARES = {
    "bias": "bias%",
    "last_bias": "last%",
    "pit80": "in80%",
    "pit95": "in95%",
    "p_change": "P(chg)%",
    "changed": "chg%",
    "direction": "dir%",
}
"""Columns that are printed in percent."""
MOST = 9.0
"""Larger shares of a gain near zero say no more than that others lost it again."""
LEGEND = """\
Losses over those of the last value, below 1 is better: MAE of the median, RMSE of the mean, CRPS.
Beside each bestQ, the share of all it gains that its best quarter brought (above 1: others lost;
-: it gains nothing), and p, that such a difference comes by chance (-: too few origins or reviews
to say). reviews: cells in which a tenth of the series stepped. bias of the mean, and the last
value's. in80, in95: outcomes inside the interval (randomised PIT). P(chg), chg: chance given to a
move of 0.5 % or more, and how often one came; Brier of that. dir: right ways among moves."""


def by_span(scores: pd.DataFrame, model: str, *, target: str = "offer") -> str:
    """Return all figures of a model over all groups: a block per horizon, a line per span."""
    rows = _of(scores, target=target, series_group="all", model=model)
    out = rows[["horizon", "span"]].rename(columns={"horizon": "ahead"})
    out["n"] = rows["n"]
    out["reviews"] = rows["n_repricings"]
    for loss in ("mae", "rmse", "crps"):
        out[loss.upper()] = rows[f"{loss}_ratio"].map("{:.3f}".format)
        out[f"bestQ{' ' * len(out.columns)}"] = rows[f"{loss}_best_quarter"].map(_rounded)
        out[f"p{' ' * len(out.columns)}"] = rows[f"{loss}_p"].map(_rounded)
    for column, name in _SHARES.items():
        out[name] = (100 * rows[column]).map("{:.1f}".format)
    out["Brier"] = rows["brier"].map("{:.3f}".format)
    out["ahead"] = out["ahead"].where(~out["ahead"].duplicated(), "")
    return str(out.rename(columns=str.strip).to_string(index=False))


def by_model(scores: pd.DataFrame, *, span: str = "all", target: str = "offer") -> str:
    """Return the three ratios of every model over all groups, a line per model."""
    rows = _of(scores, target=target, series_group="all", span=span)
    wide = rows.pivot(index="model", columns="horizon", values=list(MODEL_COLUMNS))
    wide = wide.rename(columns=MODEL_COLUMNS, level=0)
    return str(wide.sort_values(wide.columns[-1]).round(3).to_string())


def by_group(scores: pd.DataFrame, model: str) -> str:
    """Return the three ratios of a model over all origins, a line per group, or offer of a few."""
    rows = _of(scores, target="offer", span="all", model=model)
    wide = rows.pivot(index="series_group", columns="horizon", values=list(MODEL_COLUMNS))
    return str(wide.rename(columns=MODEL_COLUMNS, level=0).round(3).to_string())


def of_cheapest(scores: pd.DataFrame, model: str) -> str:
    """Return what the forecast of the k cheapest places was worth: by span, then by GPU model."""
    rows = scores[scores["target"].str.startswith("cheapest") & (scores["model"] == model)]
    if rows.empty:
        return "no machine with a GPU"
    shown = rows.assign(
        **{"bias%": 100 * rows["bias"], "last%": 100 * rows["last_bias"]},
        k=rows["target"].str.removeprefix("cheapest ").astype(int),
    ).rename(columns=MODEL_COLUMNS)
    columns = ["CRPS", "RMSE", "bias%", "last%"]
    every = shown[shown["series_group"] == "all"]
    spans = every.pivot(index=["k", "span"], columns="horizon", values=columns)
    groups = shown[(shown["series_group"] != "all") & (shown["span"] == "all")]
    out = [f"all GPU models\n{spans.round(2).to_string()}"]
    if len(groups):
        models = groups.pivot(index=["k", "series_group"], columns="horizon", values=columns)
        out.append(f"all origins\n{models.round(2).to_string()}")
    return "\n".join(out)


def _of(scores: pd.DataFrame, **asked: str) -> pd.DataFrame:
    """Rows with these values, all spans in the order of the table."""
    for column, value in asked.items():
        scores = scores[scores[column] == value]
    return scores


def _rounded(value: float) -> str:
    if value != value:
        return "-"
    return f"{value:.2f}" if value < MOST else f">{MOST:.0f}"
