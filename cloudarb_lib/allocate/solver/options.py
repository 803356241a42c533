"""How a plan is to be solved for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.base.records import Number, Positive, record

Solver = Literal["highs", "mathopt_gscip", "mathopt_highs"]
Effort = Literal["default", "off", "low", "medium", "high"]


@record
class SolveOptions:
    """How to solve. The default solver was chosen by measurement (docs/allocation.md).

    Parameters
    ----------
    gap
        Relative distance of cost and proven bound at which to stop.
    time_limit_s
        Seconds after which to stop with the best plan so far.
    threads
        Threads of the solver; ``mathopt_highs`` takes one.
    solver
        ``highs`` (highspy), or ``mathopt_gscip`` or ``mathopt_highs`` (OR-Tools).
    presolve, cuts, heuristics
        The solver's effort for each, as far as it has such an option; ``cuts="off"`` leaves out
        the library's own strengthening rows as well.
    progress
        Is called with the best plan so far (status ``searching``), whose cost, gap, bound and
        seconds tell how far the search is: for every better plan, and for better bounds.
    stop
        Is asked now and then; where it returns true the search ends with the best plan so far
        (status ``interrupted``).
    """

    gap: Annotated[Number, Field(ge=0, lt=1)] = 1e-4
    time_limit_s: Positive = 60.0
    threads: Annotated[int, Field(ge=1)] = 1
    solver: Solver = "highs"
    presolve: Effort = "default"
    cuts: Effort = "default"
    heuristics: Effort = "default"
    progress: Callable[[Plan], None] | None = None
    stop: Callable[[], bool] | None = None
