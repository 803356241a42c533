"""Published and simple rules for a run with a deadline, to hold a policy against."""

from __future__ import annotations

import numpy as np

from cloudarb_lib.advice.dated.job import ON_DEMAND, SPOT, WAIT
from cloudarb_lib.advice.dated.replay import Rule, Situation


def on_demand_only(now: Situation) -> np.ndarray:
    """Take on-demand at once, and keep it."""
    return np.full(len(now.work_left), ON_DEMAND)


def greedy(now: Situation) -> np.ndarray:
    """Take spot whenever there is any; on-demand when time runs out, until the end.

    References
    ----------
    Wu et al., Can't Be Late: Optimizing Spot Instance Savings under Deadlines, NSDI 2024, 4.1.
    """
    return _with_net(np.where(now.up, SPOT, WAIT), now)


def uniform_progress(now: Situation) -> np.ndarray:
    """Keep up with even progress: on-demand while behind it and no spot is to be had.

    Spot is taken whenever there is any, from on-demand only once progress is two restarts ahead;
    on-demand is kept until both are so, and taken for good when time runs out. The paper leaves
    open whether on-demand is given up while ahead of progress without any spot; keeping it, as the
    authors' simulator does, costs less.

    References
    ----------
    Wu et al., Can't Be Late: Optimizing Spot Instance Savings under Deadlines, NSDI 2024, 4.3.
    """
    job = now.job
    elapsed = job.deadline - now.ticks_left
    done = job.work - now.work_left
    rate = job.work / job.deadline
    action = np.where(now.up, SPOT, np.where(done < elapsed * rate, ON_DEMAND, WAIT))
    is_short = done < (elapsed + 2 * job.restart) * rate
    stays = (now.machine == ON_DEMAND) & (is_short | ~now.up)
    action = np.where(stays, ON_DEMAND, action)
    return _with_net(action, now)


def _with_net(action: np.ndarray, now: Situation) -> np.ndarray:
    """Return an action with both rules' ends: keep spot till it goes, and be done in time."""
    no_time = now.work_left + 2 * now.job.restart >= now.ticks_left
    action = np.where(no_time, ON_DEMAND, action)
    return np.where(now.machine == SPOT, SPOT, action)


RULES: dict[str, Rule] = {
    "uniform progress": uniform_progress,
    "greedy with safety net": greedy,
    "on-demand only": on_demand_only,
}
"""By the name that tables have."""
