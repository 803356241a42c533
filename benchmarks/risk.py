"""Speed of risk, each figure beside the bare matrix product: python -m benchmarks.risk."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from cloudarb_lib import risk

OFFERS, PATHS = 100, 10_000


def best_of(work: Callable[[], object], rounds: int = 20) -> float:
    """Return the shortest wall time of ``rounds`` runs, in milliseconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def main() -> None:
    unit = np.random.default_rng(0).standard_normal((PATHS, OFFERS)) + 10.0
    hours = np.ones(OFFERS)
    floor = best_of(lambda: unit @ hours)
    figures = {
        "a changed plan, to CVaR": best_of(lambda: risk.cvar(unit @ hours)),
        "CVaR split by offer": best_of(lambda: risk.component_cvar(unit * hours)),
    }
    print(f"risk, {PATHS:,} stored paths x {OFFERS} offers")
    print(f"  {'one matrix product':<24} {floor:7.2f} ms")
    for name, taken in figures.items():
        print(f"  {name:<24} {taken:7.2f} ms   ({taken / floor:.1f} times the product)")


if __name__ == "__main__":
    main()
