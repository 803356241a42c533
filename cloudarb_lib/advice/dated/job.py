"""A run with a deadline, counted in ticks, and what it can do in each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cloudarb_lib.base.errors import ParameterError

WAIT = 0
SPOT = 1
ON_DEMAND = 2
ACTIONS = ("wait", "spot", "on-demand")
"""What the codes mean."""
ROUNDING = 1e-9
NEVER = 1e9
"""Hours of the dearest machine that being late costs where it must not be."""


@dataclass(frozen=True)
class Job:
    """A run in ticks.

    Attributes
    ----------
    work
        Ticks of work, 1 or more.
    deadline
        Ticks from the start until it must be done.
    restart
        Ticks that a machine needs before it works, each time one is taken up.
    spot_usd, on_demand_usd
        What a tick of a machine costs. None for on-demand: there is none to fall back on.
    late_usd
        What being late costs. None: it must not be, so on-demand is taken up while it still can
        finish the work in time, whatever becomes of spot (the safety net).

    Raises
    ------
    ParameterError
        For no work, a negative price, or a deadline that no machine can keep.
    """

    work: int
    deadline: int
    restart: int
    spot_usd: float
    on_demand_usd: float | None
    late_usd: float | None = None

    def __post_init__(self) -> None:
        if self.work < 1:
            raise ParameterError("a run has no work to do.", "Give hours of work above 0.")
        if min(self.spot_usd, self.on_demand_usd or 0.0, self.late_usd or 0.0) < 0:
            raise ParameterError("a price of a run is negative.", "Give USD, 0 or more.")
        if self.deadline < self.work + self.restart:
            raise ParameterError(
                f"the deadline comes after {self.deadline} ticks, but the work and one start take "
                f"{self.work} + {self.restart}.",
                "Move the deadline, or spread the work over more machines.",
            )

    @property
    def has_safety_net(self) -> bool:
        return self.on_demand_usd is not None and self.late_usd is None

    @property
    def penalty_usd(self) -> float:
        """What being late counts in the choice of a policy."""
        if self.late_usd is not None:
            return self.late_usd
        return NEVER * max(self.spot_usd, self.on_demand_usd or 0.0)


def ticks(hours: float, tick_h: float) -> int:
    """Return hours in ticks, a part of one counted whole."""
    return math.ceil(hours / tick_h - ROUNDING)
