"""The one table of notebook 06: each method beside the product's own way, and whether it helps."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.forecast.evaluate import ENSEMBLE
from cloudarb_lib.research.annealing import Assignment
from cloudarb_lib.research.forecasters import helps
from cloudarb_lib.research.relaxation import PRODUCT

NOT_RUN = "not run"
SAME = 1e-3
"""Relative gap to which the product proves plans: within it two answers are one."""


@dataclass(frozen=True)
class Verdict:
    """A row of the table.

    Parameters
    ----------
    method, product : str
        What was tried, and the product's own way.
    measure : str
        What the two figures are: less is better.
    its_figure, product_figure : float
        NaN where nothing was run.
    its_cpu_s, product_cpu_s : float
        CPU seconds.
    verdict : str
        In a line.
    """

    method: str
    product: str
    measure: str
    its_figure: float
    product_figure: float
    its_cpu_s: float
    product_cpu_s: float
    verdict: str


def table(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """Return verdicts as table ``methods``: a column per attribute of ``Verdict``."""
    return pd.DataFrame([asdict(verdict) for verdict in verdicts])


def not_run(method: str, product: str, why: str) -> Verdict:
    """Return the row of a method that was not run, and why."""
    nothing = (np.nan, np.nan, np.nan, np.nan)
    return Verdict(method, product, NOT_RUN, *nothing, f"not run: {why}")


def of_forecaster(board: pd.DataFrame, model: str) -> Verdict:
    """Return the row of a forecaster, from ``forecasters.compare``, at the longest horizon."""
    last = board[board["horizon"] == board["horizon"].max()].set_index("model")
    figures = last[["mae_ratio", "cpu_s"]].astype(float).to_dict("index")
    ours = figures[model]
    theirs = figures[ENSEMBLE]
    wins = "errs less than the ensemble at every horizon, at one beyond chance: worth wiring in"
    loses = "does not beat the ensemble at every horizon beyond chance: not wired in"
    steps = int(board["horizon"].max())
    return Verdict(
        method=model,
        product="ensemble",
        measure=f"MAE {steps} h ahead over the last value's",
        its_figure=ours["mae_ratio"],
        product_figure=theirs["mae_ratio"],
        its_cpu_s=ours["cpu_s"],
        product_cpu_s=theirs["cpu_s"],
        verdict=wins if helps(board, model) else loses,
    )


def of_federated(errors: dict[str, float], costs: dict[str, float]) -> Verdict:
    """Return the row of federated averaging: mean errors, and CPU seconds, of each way."""
    is_as_good = errors["federated"] <= errors["pooled"] * (1 + SAME)
    loss = "loses nothing" if is_as_good else "errs more"
    return Verdict(
        method="federated averaging",
        product="pooled training",
        measure="MAE of the network over the last value's",
        its_figure=errors["federated"],
        product_figure=errors["pooled"],
        its_cpu_s=costs["federated"],
        product_cpu_s=costs["pooled"],
        verdict=f"{loss} by keeping providers apart; prices are public, so not wired in",
    )


def of_relaxation(compared: pd.DataFrame, way: str) -> Verdict:
    """Return the row of a way to solve the relaxation, from ``relaxation.compare``."""
    figures = compared.astype(float).to_dict("index")
    ours = figures[way]
    theirs = figures[PRODUCT]
    is_right = bool(ours["ended"]) and abs(ours["off"]) <= SAME and ours["violation"] <= SAME
    is_quicker = is_right and ours["cpu_s"] < theirs["cpu_s"]
    slower = f"{ours['cpu_s'] / max(theirs['cpu_s'], 1e-3):.0f} times the CPU"
    misses = f"off by {100 * abs(ours['off']):.2g} %, a row by {100 * ours['violation']:.2g} %"
    right = "as good" if is_right else misses if ours["ended"] else f"not done: {misses}"
    return Verdict(
        method=way,
        product=PRODUCT,
        measure="least expected cost of the relaxation, USD",
        its_figure=ours["value_usd"],
        product_figure=theirs["value_usd"],
        its_cpu_s=ours["cpu_s"],
        product_cpu_s=theirs["cpu_s"],
        verdict="quicker: worth wiring in" if is_quicker else f"{right}, {slower}: not wired in",
    )


def of_annealing(
    found: Assignment, best_usd: float, *, its_cpu_s: float, product_cpu_s: float
) -> Verdict:
    """Return the row of annealing beside a proven optimum."""
    over = found.cost_usd / best_usd - 1
    is_best = over <= SAME
    words = "reaches the optimum" if is_best else f"{100 * over:.1f} % above the proven optimum"
    if not np.isfinite(over):
        words = "no sample is a plan"
    wins = is_best and its_cpu_s < product_cpu_s
    return Verdict(
        method=f"annealing of a QUBO, {found.n_variables} variables",
        product="mixed-integer program",
        measure="cost of the plan, USD",
        its_figure=found.cost_usd,
        product_figure=best_usd,
        its_cpu_s=its_cpu_s,
        product_cpu_s=product_cpu_s,
        verdict=f"{words}: {'worth wiring in' if wins else 'not wired in'}",
    )


def of_explanations(explained: pd.DataFrame, cpu_s: float) -> Verdict:
    """Return the row of SHAP values: by how much they miss the forecasts that they explain."""
    by_offer = explained.groupby("offer_id")
    missed = by_offer["contribution_log"].sum() - by_offer["forecast_log"].first()
    return Verdict(
        method="SHAP of boosting",
        product="no explanation",
        measure="largest miss of the forecast explained, log price",
        its_figure=float(missed.abs().max()),
        product_figure=np.nan,
        its_cpu_s=cpu_s,
        product_cpu_s=np.nan,
        verdict="exact and cheap; kept as a table in the lineage of this run",
    )


def is_installed(package: str) -> bool:
    """Say whether an optional package is there."""
    return importlib.util.find_spec(package) is not None
