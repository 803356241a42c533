"""Price changes with a known correlation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.types import Panel
from cloudarb_lib.risk import simulate

JOINT_CORRELATION = np.array([[1.0, 0.7, 0.0], [0.7, 1.0, -0.4], [0.0, -0.4, 1.0]])


JOINT_SPREAD = np.array([0.02, 0.05, 0.1])


def joint_returns(n: int = 2000, seed: int = 0) -> np.ndarray:
    z = np.random.default_rng(seed).standard_normal((n, 3))
    return z @ np.linalg.cholesky(JOINT_CORRELATION).T * JOINT_SPREAD


def repricing_returns(n: int = 200, seed: int = 0) -> np.ndarray:
    """Two offers of one seller that move together every 10th step, and one that moves alone."""
    r = np.zeros((n, 3))
    r[9::10, :2] = np.random.default_rng(seed).choice([-0.1, 0.1], (len(r[9::10]), 1)) * [1.0, 0.5]
    r[:, 2] = joint_returns(n, seed)[:, 1]
    return r


def panel_of_returns(r: np.ndarray) -> Panel:
    price = np.exp(np.vstack([np.zeros(r.shape[1]), np.cumsum(r, axis=0)])) * 10.0
    times = pd.date_range("2025-01-01", periods=len(price), freq="7D", tz="UTC")
    offers = pd.DataFrame(index=pd.Index([f"o{i}" for i in range(r.shape[1])], name="offer_id"))
    return Panel(
        times, pd.Timedelta("7D"), offers, price, np.ones_like(price), np.ones(price.shape, int)
    )


def normal_changes(r, *, seed=0, **changes) -> np.ndarray:
    """Return normal log changes (paths, offers), or (paths, offers, steps)."""
    blocks = list(simulate.draw_normal(simulate.fit_normal(r), seed=seed, **changes))
    x = np.concatenate(blocks, axis=1).transpose(1, 0, 2)
    return x if "steps" in changes else x[:, :, 0]
