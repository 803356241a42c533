"""The least that a run could have cost, had availability been known ahead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cloudarb_lib.advice.dated.job import Job


def hindsight_usd(up: np.ndarray, job: Job, deadlines: Sequence[int]) -> np.ndarray:
    """Return the least cost of a run by each of some deadlines, all availability known.

    Exact: forward induction over work done, the machine that runs, in any zone, and what is left of
    its start-up.

    Parameters
    ----------
    up
        Whether each zone had machines, (runs, ticks, zones).
    job
        The run, with on-demand; its own deadline has no say.

    Returns
    -------
    np.ndarray
        USD, (runs, deadlines); infinite where the work cannot be done.
    """
    runs, length, zones = up.shape
    shape = (job.restart + 1, runs, job.work + 1)
    idle = np.full(shape[1:], np.inf)
    idle[:, 0] = 0.0
    on_demand = np.full(shape, np.inf)
    spot = [np.full(shape, np.inf) for _ in range(zones)]
    least = np.full((runs, len(deadlines)), np.inf)
    for tick in range(length):
        on_demand = _run(on_demand, idle, float(job.on_demand_usd or np.inf))
        spot = [_run(held, idle, job.spot_usd) for held in spot]
        for zone, held in enumerate(spot):
            held[:, ~up[:, tick, zone]] = np.inf
        for held in (on_demand, *spot):
            idle = np.minimum(idle, held.min(axis=0))
        for position, deadline in enumerate(deadlines):
            if deadline == tick + 1:
                least[:, position] = idle[:, job.work]
    return least


def _run(held: np.ndarray, idle: np.ndarray, usd: float) -> np.ndarray:
    """Return least costs after a tick with a machine, kept or taken up at its start.

    Costs are by what is left of its start-up, (restart + 1, runs, work + 1).
    """
    before = held.copy()
    before[-1] = np.minimum(before[-1], idle)
    after = np.full_like(held, np.inf)
    after[:-1] = before[1:] + usd
    after[0, :, 1:] = np.minimum(after[0, :, 1:], before[0, :, :-1] + usd)
    return after
