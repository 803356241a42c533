"""Speed of risk, each figure beside its bare cost: python -m benchmarks.risk."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import ndtri
from scipy.stats.qmc import Sobol
from threadpoolctl import threadpool_limits

from benchmarks.command_line import names_of
from cloudarb_lib import risk
from cloudarb_lib.base.types import Panel
from cloudarb_lib.risk import simulate

OFFERS = 100
PATHS = 10_000
STEPS = 24
MILLION = 1_000_000


def best_of(work: Callable[[], object], rounds: int = 20) -> float:
    """Return the shortest CPU time of ``rounds`` runs, in milliseconds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def history() -> Panel:
    """Return 252 steps of 100 offers that move together."""
    rng = np.random.default_rng(0)
    moves = 0.02 * (rng.standard_normal((252, 1)) + rng.standard_normal((252, OFFERS)))
    price = 10.0 * np.exp(np.vstack([np.zeros(OFFERS), moves.cumsum(axis=0)]))
    offers = pd.DataFrame(index=pd.Index([f"offer {i}" for i in range(OFFERS)], name="offer_id"))
    times = pd.date_range("2025-01-01", periods=len(price), freq="1h", tz="UTC")
    return Panel(
        times, pd.Timedelta("1h"), offers, price, np.ones_like(price), np.ones(price.shape, int)
    )


def bare(paths: int, steps: int, factor: np.ndarray, draws: str = "random") -> None:
    """Generate as many float32 normals and multiply them by one matrix, in the same blocks."""
    block = simulate.BLOCK
    if draws == "sobol":
        points = Sobol(OFFERS * steps, rng=np.random.default_rng(0))
        for _ in range(-(-paths // block)):
            z = ndtri(np.clip(points.random(block), 1e-10, 1 - 1e-10))
            factor @ z.T.astype(np.float32).reshape(OFFERS, -1)
        return
    rng = np.random.default_rng(0)
    for _ in range(-(-paths // block)):
        factor @ rng.standard_normal((OFFERS, block * steps), dtype=np.float32)


def million(model: simulate.Normal, draws: str) -> None:
    """Draw a million one-step paths, keep the cost of one plan, and take its VaR and CVaR."""
    price = np.ones(OFFERS, dtype=np.float32)
    blocks = simulate.draw_normal(model, n_paths=MILLION, draws=draws, seed=0)
    cost = np.concatenate([price @ block[:, :, 0] for block in blocks])
    risk.var(cost)
    risk.cvar(cost)


def simulations() -> None:
    panel = history()
    one = simulate.fit_normal(np.diff(np.log(panel.price), axis=0))
    print(
        f"{MILLION:,} one-step paths x {OFFERS} offers, streamed, to VaR and CVaR; "
        "bar 3 s, 1 GB, 1.5 times bare"
    )
    for draws in simulate.DRAWS:
        floor = best_of(lambda draws=draws: bare(MILLION, 1, one.factor, draws), 3)
        taken = best_of(lambda draws=draws: million(one, draws), 3)
        peer = "Sobol normals" if draws == "sobol" else "normals"
        print(
            f"  {draws:<12} {taken:7.0f} ms, bare {peer} and product {floor:7.0f} ms: "
            f"{taken / floor:.2f} times"
        )
    print(f"  peak memory of this process so far {peak_mb():6.0f} MB")
    print(
        f"{PATHS:,} paths x {OFFERS} offers x {STEPS} steps, from prices to prices; "
        "bar 500 ms, 1.5 times bare"
    )
    floor = best_of(lambda: bare(PATHS, STEPS, one.factor), 5)
    for name in ("normal", "historical"):
        taken = best_of(
            lambda name=name: simulate.simulate_paths(
                panel, horizon_steps=STEPS, model=name, seed=0
            ),
            5,
        )
        print(
            f"  {name:<12} {taken:7.0f} ms, bare normals and product {floor:7.0f} ms: "
            f"{taken / floor:.2f} times"
        )


def revaluation() -> None:
    unit = np.random.default_rng(0).standard_normal((PATHS, OFFERS)) + 10.0
    hours = np.ones(OFFERS)
    floor = best_of(lambda: unit @ hours)
    figures = {
        "a changed plan, to CVaR": best_of(lambda: risk.cvar(unit @ hours)),
        "CVaR split by offer": best_of(lambda: risk.component_cvar(unit * hours)),
    }
    print(f"{PATHS:,} stored paths x {OFFERS} offers; bar 20 ms")
    print(f"  {'one matrix product':<34} {floor:7.2f} ms")
    for name, taken in figures.items():
        print(f"  {name:<34} {taken:7.2f} ms   ({taken / floor:.1f} times the product)")


def main() -> None:
    print("risk: CPU time on one thread, best of several runs")
    with threadpool_limits(1):
        simulations()
        revaluation()


if __name__ == "__main__":
    names_of(__doc__)
    main()
