"""Speed of risk, each figure beside the bare work it cannot do without: python -m benchmarks.risk."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from cloudarb_lib import risk
from cloudarb_lib.types import Panel

OFFERS, PATHS, STEPS = 100, 10_000, 24


def best_of(work: Callable[[], object], rounds: int = 5) -> float:
    """Return the shortest wall time of ``rounds`` runs, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def history() -> Panel:
    moves = 0.02 * np.random.default_rng(0).standard_normal((260, OFFERS))
    price = np.exp(moves.cumsum(axis=0))
    index = pd.Index([f"offer {j}" for j in range(OFFERS)], name="offer_id")
    times = pd.date_range("2025-01-01", periods=len(price), freq="D", tz="UTC")
    cells = np.ones(price.shape)
    return Panel(times, pd.Timedelta("1D"), pd.DataFrame(index=index), price, cells, 2 * cells)


def bare() -> np.ndarray:
    """The normals and one matrix product."""
    z = np.random.default_rng(0).standard_normal((OFFERS, PATHS * STEPS), dtype=np.float32)
    return np.eye(OFFERS, dtype=np.float32) @ z


def main() -> None:
    panel = history()
    simulate = best_of(lambda: risk.normal_paths(panel, horizon_steps=STEPS, n_paths=PATHS, seed=0))
    floor = best_of(bare)
    unit = np.random.default_rng(0).standard_normal((PATHS, OFFERS)) + 10.0
    hours = np.ones(OFFERS)
    value = best_of(lambda: risk.cvar(unit @ hours))
    parts = best_of(lambda: risk.component_cvar(unit * hours))
    print(f"risk, {PATHS:,} paths x {OFFERS} offers x {STEPS} steps")
    print(f"  normal paths             {simulate:7.3f} s")
    print(
        f"  normals and one product  {floor:7.3f} s   (the paths take {simulate / floor:.2f} times as long)"
    )
    print(f"  a changed plan, to CVaR  {1e3 * value:7.2f} ms on stored paths")
    print(f"  CVaR split by offer      {1e3 * parts:7.2f} ms")


if __name__ == "__main__":
    main()
