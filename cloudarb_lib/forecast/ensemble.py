"""Weights by inverse out-of-fold loss, per group of series and step ahead, with a gate.

A member that raises, returns NaN, or was not better than the last value out of fold is left out for
that group and step. Weights at an origin rest on outcomes known there, the newest counting most
(Bates and Granger, 1969, with exponential forgetting).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudarb_lib.forecast.members import MEMBERS, Task

HALF_LIFE_STEPS = 13.0
"""Age at which an outcome counts half: a quarter of weekly reviews."""
MIN_OUTCOMES = 20
"""Outcomes a group needs for weights of its own; below it takes those of all series."""

KEPT, FAILED, WORSE, NO_RECORD = 0, 1, 2, 3
GATE_REASONS = ("kept", "failed", "not better than last value", "no outcomes to judge it by")


@dataclass(frozen=True)
class Weights:
    """``values`` (origins, members, groups + 1, steps ahead) sum to 1 over members; ``gates``
    holds the code of ``GATE_REASONS`` in the same shape. The last group is all series."""

    models: tuple[str, ...]
    values: np.ndarray
    gates: np.ndarray


def run_members(task: Task) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return forecasts by member, each (origins, series, steps), and why others failed."""
    done: dict[str, np.ndarray] = {}
    failed: dict[str, str] = {}
    for name, member in MEMBERS.items():
        try:
            forecast = member(task)
        except Exception as cause:  # one member must never stop the others
            failed[name] = f"{type(cause).__name__}: {cause}"
            continue
        if not np.isfinite(forecast).all():
            failed[name] = "returned a number that is not finite"
        else:
            done[name] = forecast
    return done, failed


def group_sums(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return sums over series (axis -2) by group, NaN as 0; the last group is all series."""
    member = (groups[:, None] == np.arange(groups.max() + 1)).astype(float)
    member = np.column_stack([member, np.ones(len(groups))])
    return np.einsum("...sh,sg->...gh", np.nan_to_num(values), member)


def recent(origins: np.ndarray, horizon: int, half_life: float) -> np.ndarray:
    """Return (at, origin, step ahead): what an outcome counts at an origin, 0 before it is known."""
    age = origins[:, None, None] - (origins[None, :, None] + np.arange(1, horizon + 1))
    return np.where(age >= 0, 0.5 ** (np.maximum(age, 0) / half_life), 0.0)


def weigh(task: Task, forecasts: dict[str, np.ndarray]) -> Weights:
    """Return the weights that stood at each origin of ``task``."""
    truth = np.exp(task.truth())
    loss = np.stack([np.abs(np.exp(f) - truth) for f in forecasts.values()])
    total = group_sums(loss, task.groups)
    count = group_sums(np.isfinite(truth).astype(float), task.groups)
    decay = recent(task.origins, task.horizon, HALF_LIFE_STEPS)
    loss_at = np.einsum("aoh,kogh->akgh", decay, total)
    outcomes = np.einsum("aoh,ogh->agh", (decay > 0).astype(float), count)
    thin = (outcomes < MIN_OUTCOMES)[:, None]
    loss_at = np.where(thin, loss_at[:, :, -1:], loss_at)
    blind = (outcomes[:, -1:] < MIN_OUTCOMES)[:, None]
    models = tuple(forecasts)
    base = loss_at[:, [models.index("last_value")]]
    gates = np.where(blind, NO_RECORD, np.where(loss_at < base, KEPT, WORSE))
    gates[:, models.index("last_value")] = KEPT
    raw = np.where(gates == KEPT, 1.0 / np.maximum(loss_at, 1e-12), 0.0)
    return Weights(models, raw / raw.sum(axis=1, keepdims=True), gates)


def combine(task: Task, forecasts: dict[str, np.ndarray], weights: Weights) -> np.ndarray:
    """Return the ensemble's log change, (origins, series, steps)."""
    out = np.zeros_like(forecasts["last_value"])
    for k, forecast in enumerate(forecasts.values()):
        out += weights.values[:, k][:, task.groups] * forecast
    return out
